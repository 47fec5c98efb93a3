package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// becomes makes this process another one, and the one before dead.
func (k *kernel) becomes(pid int) {
	k.gone("proc")
	k.process(pid, pid*10, "")
	os.Symlink(fmt.Sprint(pid), filepath.Join(k.root, "proc/self"))
}

// adoptEverywhere adopts what serveEverywhere made.
func adoptEverywhere(t *testing.T, k *kernel, e Export, allow ...string) (down func() error, err error) {
	d := k.adoptDevice(e, spec)
	if err := errors.Join(d.Requeue(), d.Sign()); err != nil {
		return nil, err
	}
	return adoptTargets(t, k, d, allow...)
}

// adoptTargets adopts the targets of a device that is adopted.
func adoptTargets(t *testing.T, k *kernel, d *Device, allow ...string) (down func() error, err error) {
	tree := func() *tree { return &tree{machine: k.machine, adopting: true} }
	l, err := makeLoopback(tree(), wwn, true)
	if err != nil {
		return nil, err
	}
	node, err := l.AddLUN(t.Context(), 1, d)
	if err != nil {
		return nil, err
	}
	if node != k.dev+"/sdc" {
		t.Errorf("the adopted disk is %q", node)
	}
	var portal netip.AddrPort
	for _, np := range subdirs(filepath.Join(k.configfs(), "target/iscsi", iqn, "tpgt_1/np")) {
		portal = netip.MustParseAddrPort(np)
	}
	i, err := makeISCSI(tree(), ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{portal}, Allow: append(allow, "iqn.2001-04.com.example:me")})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(i.AddLUN(0, d), i.Enable()); err != nil {
		return nil, err
	}
	v, err := makeVhost(tree(), wwn)
	if err != nil {
		return nil, err
	}
	if err := v.AddLUN(0, d); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(v.Close(), i.Close(), l.Close(), d.Close()) }, nil
}

// The users of the disk notice nothing: all that is written is the reset of the
// ring and the names of the process. In the end everything is removed.
func TestAdoptionChangesOnlyTheOwner(t *testing.T) {
	k := iscsiKernel(t)
	empty := k.snapshot(t)
	serveEverywhere(t, k)
	k.becomes(99)
	e := onlyExport(t, k)
	if e.Alive {
		t.Fatalf("%+v is alive", e)
	}
	k.ops = nil
	down, err := adoptEverywhere(t, k, e)
	if err != nil {
		t.Fatal(err)
	}
	dev := e.device
	same(t, k.ops, []string{
		`echo -n "1" > ` + dev + "/action/reset_ring",
		`echo -n "lunserve pid 99 since 990" > ` + dev + "/alias",
		`echo -n "0" > ` + dev + "/action/block_dev",
	})
	now := onlyExport(t, k)
	if !now.Alive || now.PID != 99 || !reflect.DeepEqual(now.LUNs, e.LUNs) || !reflect.DeepEqual(now.Nodes, e.Nodes) {
		t.Errorf("now %+v\nwas %+v", now, e)
	}
	for _, target := range []string{"loopback/" + wwn, "iscsi/" + iqn, "vhost/" + wwn} {
		if owner := k.group(filepath.Join(k.configfs(), "target", target)); owner != 99 {
			t.Errorf("%s is owned by %d", target, owner)
		}
	}
	if err := down(); err != nil {
		t.Error(err)
	}
	if after := k.snapshot(t); after != empty {
		t.Errorf("left:\n%s", after)
	}
}

// Another program that this process executes goes on with its disks. Nothing is
// written.
func TestProcessAdoptsItsOwnDisks(t *testing.T) {
	k := iscsiKernel(t)
	empty := k.snapshot(t)
	serveEverywhere(t, k)
	e := onlyExport(t, k)
	if !e.Alive {
		t.Fatalf("%+v is dead", e)
	}
	k.ops = nil
	down, err := adoptTargets(t, k, k.adoptDevice(e, spec))
	if err != nil {
		t.Fatal(err)
	}
	same(t, k.ops, nil)
	if now := onlyExport(t, k); !reflect.DeepEqual(now, e) {
		t.Errorf("now %+v\nwas %+v", now, e)
	}
	if err := down(); err != nil {
		t.Error(err)
	}
	if after := k.snapshot(t); after != empty {
		t.Errorf("left:\n%s", after)
	}
}

// A process may be killed at any step of an adoption. The next one adopts the
// disk, and lunserve detach removes all of it.
func TestKilledAdoptionCanBeRepeatedAndRemoved(t *testing.T) {
	for n, ended := 1, false; !ended; n++ {
		k := iscsiKernel(t)
		empty := k.snapshot(t)
		serveEverywhere(t, k)
		k.becomes(99)
		before := k.machine.before
		k.n = 0
		k.machine.before = func(verb, name string) error {
			if k.n+1 == n {
				panic("killed")
			}
			return before(verb, name)
		}
		func() {
			defer func() { ended = recover() == nil }()
			if _, err := adoptEverywhere(t, k, onlyExport(t, k)); err != nil {
				t.Error(err)
			}
		}()
		k.machine.before = before
		k.becomes(100)
		if n%2 == 0 {
			if _, err := adoptEverywhere(t, k, onlyExport(t, k)); err != nil {
				t.Errorf("step %d: %v", n, err)
			}
			k.becomes(101)
		}
		if err := k.remove(onlyExport(t, k)); err != nil {
			t.Errorf("step %d: %v", n, err)
		}
		if after := k.snapshot(t); after != empty {
			t.Errorf("step %d, left:\n%s", n, after)
		}
	}
}

// A guard that removes a disk in good order may hang at any step. Then it removes
// what is left by force.
func TestRemovalThatHangsIsFinishedByForce(t *testing.T) {
	for n, ended := 1, false; !ended; n++ {
		k := iscsiKernel(t)
		empty := k.snapshot(t)
		serveEverywhere(t, k)
		k.becomes(99)
		before, steps := k.machine.before, -1000
		k.machine.before = func(verb, name string) error {
			if steps++; steps == n {
				panic("it hangs")
			}
			return before(verb, name)
		}
		down, err := adoptEverywhere(t, k, onlyExport(t, k))
		if err != nil {
			t.Fatal(err)
		}
		steps = 0
		func() {
			defer func() { ended = recover() == nil }()
			if err := down(); err != nil {
				t.Error(err)
			}
		}()
		k.machine.before = before
		list, err := k.exports()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if err := k.removeByForce(e); err != nil {
				t.Errorf("step %d: %v", n, err)
			}
			if after := k.snapshot(t); after != empty {
				t.Errorf("step %d, left:\n%s", n, after)
			}
		}
	}
}

// A target of another process stays as it is.
func TestAdoptionRefusesWhatOthersMade(t *testing.T) {
	for name, alter := range map[string]func(k *kernel){
		"another owner": func(k *kernel) { k.groups[k.configfs()+"/target/iscsi/"+iqn] = 0 },
		"another device": func(k *kernel) {
			link := k.configfs() + "/target/loopback/" + wwn + "/tpgt_1/lun/lun_1/lunserve-my_disk_1.img-0000000a"
			os.Remove(link)
			os.Symlink(k.configfs(), link)
		},
	} {
		k := iscsiKernel(t)
		serveEverywhere(t, k)
		alter(k)
		k.becomes(99)
		k.ops = nil
		if _, err := adoptEverywhere(t, k, onlyExport(t, k)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		for _, op := range k.ops {
			if !strings.HasPrefix(op, "echo") {
				t.Errorf("%s: %s", name, op)
			}
		}
	}
}

// Initiators must not get access by an adoption that the command does not give.
func TestTargetThatDiffersIsNotAdopted(t *testing.T) {
	k := iscsiKernel(t)
	portal, _ := serveEverywhere(t, k)
	s := ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{portal}, Allow: []string{"iqn.2001-04.com.example:ME"}}
	if err := k.checkAdoption(s); err != nil {
		t.Errorf("the same spec: %v", err)
	}
	for want, alter := range map[string]func(s *ISCSISpec){
		"has the initiator": func(s *ISCSISpec) { s.Allow = []string{"iqn.2001-04.com.example:other"} },
		"has the portal":    func(s *ISCSISpec) { s.Portals = []netip.AddrPort{netip.MustParseAddrPort("[::1]:1")} },
		"generate_node":     func(s *ISCSISpec) { s.Allow = nil },
		"authentication":    func(s *ISCSISpec) { s.CHAP = &CHAP{} },
		"write_protect":     func(s *ISCSISpec) { s.ReadOnly = true },
	} {
		other := s
		alter(&other)
		if err := k.checkAdoption(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Linux takes a disk offline when commands time out, and a removal that was
// interrupted does.
func TestAdoptedDiskIsOnline(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	const status, state = "sys/kernel/config/target/loopback/" + wwn + "/tpgt_1/transport_status", "sys/bus/scsi/devices/2:0:1:1/state"
	k.file(status, "offline")
	k.file(state, "offline\n")
	k.becomes(99)
	if _, err := adoptEverywhere(t, k, onlyExport(t, k)); err != nil {
		t.Fatal(err)
	}
	if got := k.read(status) + " " + k.read(state); got != "online running\n" {
		t.Errorf("the disk is %q", got)
	}
}

func TestMarkIsReadAsWritten(t *testing.T) {
	for _, m := range []mark{
		{server: process{1, 2}},
		{server: process{4194304, 1 << 60}, wwn: "naa.5001405123456789", contents: "a of b, c of d"},
	} {
		if got := parseMark(m.String()); got != m {
			t.Errorf("%q is read as %+v", m, got)
		}
	}
}

func TestWaitForKilledWaitsForTheEnd(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	k.process(os.Getpid(), 4711, "State:\tZ (zombie)\n")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.waitForKilled(t.Context(), time.Hour)
	}()
	select {
	case <-ended:
		t.Error("did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	k.gone("proc")
	<-ended
	k.waitForKilled(t.Context(), time.Hour)
}
