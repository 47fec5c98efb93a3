package configfs

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// The portal has an IPv6 address in brackets, which are special in patterns.
func TestRemoveRemovesEverything(t *testing.T) {
	k := iscsiKernel(t)
	before := k.snapshot(t)
	portal, _ := serveEverywhere(t, k)
	k.gone("proc")
	const scsi = "sys/bus/scsi/devices/2:0:1:1/"
	k.ops = nil
	k.refuse = func(verb, name string) bool {
		switch {
		case strings.HasSuffix(name, "block_dev") && k.read(scsi+"state") != "offline\n":
			t.Error("the ring is blocked before the disk is offline")
		case verb == "unlink" && strings.HasPrefix(name, "loopback") && k.read(scsi+"scsi_disk/2:0:1:1/cache_type") != "temporary write through":
			t.Error("the kernel is left to flush the disk's cache")
		}
		return false
	}
	e := onlyExport(t, k)
	if err := k.remove(e); err != nil {
		t.Error(err)
	}
	const dev, link = "core/user_0/lunserve-my_disk_1.img-0000000a", "lunserve-my_disk_1.img-0000000a"
	same(t, k.ops, []string{
		`echo -n "offline" > loopback/` + wwn + "/tpgt_1/transport_status",
		`echo -n "1" > ` + dev + "/action/block_dev",
		`echo -n "2" > ` + dev + "/action/reset_ring",

		"unlink iscsi/" + iqn + "/tpgt_1/acls/iqn.2001-04.com.example:me/lun_0/lun",
		"rmdir iscsi/" + iqn + "/tpgt_1/acls/iqn.2001-04.com.example:me/lun_0",
		"unlink iscsi/" + iqn + "/tpgt_1/lun/lun_0/" + link,
		"rmdir iscsi/" + iqn + "/tpgt_1/lun/lun_0",
		"unlink loopback/" + wwn + "/tpgt_1/lun/lun_1/" + link,
		"rmdir loopback/" + wwn + "/tpgt_1/lun/lun_1",
		"unlink vhost/" + wwn + "/tpgt_1/lun/lun_0/" + link,
		"rmdir vhost/" + wwn + "/tpgt_1/lun/lun_0",

		`echo -n "0" > iscsi/` + iqn + "/tpgt_1/enable",
		"rmdir iscsi/" + iqn + "/tpgt_1/acls/iqn.2001-04.com.example:me",
		"rmdir iscsi/" + iqn + "/tpgt_1/np/" + portal.String(),
		"rmdir iscsi/" + iqn + "/tpgt_1",
		"rmdir iscsi/" + iqn,
		"rmdir iscsi",
		"rmdir loopback/" + wwn + "/tpgt_1",
		"rmdir loopback/" + wwn,
		"rmdir loopback",
		"rmdir vhost/" + wwn + "/tpgt_1",
		"rmdir vhost/" + wwn,
		"rmdir vhost",

		"rmdir " + dev,
		"rmdir core/user_0",
	})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
	k.ops, k.refuse = nil, nil
	if err := k.remove(e); err != nil {
		t.Errorf("a second time: %v", err)
	}
	same(t, k.ops, nil)
}

// The process may be killed at any step. Only a directory that was just made,
// and has no owner yet, stays.
func TestRemoveRemovesWhatIsHalfMade(t *testing.T) {
	for n, ended := 1, false; !ended; n++ {
		k := iscsiKernel(t)
		empty := k.snapshot(t)
		var at, unsigned string
		before := k.machine.before
		k.machine.before = func(verb, name string) error {
			if k.n+1 == n {
				at = verb + " " + name
				if verb == "chmod" || verb == "chown" {
					unsigned = name
				}
				panic("killed")
			}
			return before(verb, name)
		}
		func() {
			defer func() {
				k.machine.before = before
				ended = recover() == nil
			}()
			_, down := serveEverywhere(t, k)
			if err := down(); err != nil {
				t.Error(err)
			}
		}()
		k.gone("proc")
		list, err := k.exports()
		if err != nil || len(list) > 1 {
			t.Fatalf("killed at %s: exports() = %+v, %v", at, list, err)
		}
		for _, e := range list {
			if err := k.remove(e); err != nil {
				t.Errorf("killed at %s: remove() = %v", at, err)
			}
		}
		os.Remove(filepath.Join(k.configfs(), "target", cmp.Or(unsigned, "core/user_0")))
		if fabric, _, _ := strings.Cut(unsigned, "/"); fabric != "" && fabric != "core" {
			os.RemoveAll(filepath.Join(k.configfs(), "target", fabric, "discovery_auth"))
			os.Remove(filepath.Join(k.configfs(), "target", fabric))
		}
		if after := k.snapshot(t); after != empty && !ended {
			t.Errorf("killed at %s, left:\n%s", at, after)
		}
	}
}

// What could not be removed is in the error, and a second call removes it.
func TestRemoveContinuesAfterErrors(t *testing.T) {
	for n := 1; ; n++ {
		k := iscsiKernel(t)
		before := k.snapshot(t)
		serveEverywhere(t, k)
		k.gone("proc")
		e := onlyExport(t, k)
		k.n, k.failAt = 0, n
		err := k.remove(e)
		if k.n < n {
			return
		}
		k.failAt = 0
		if !errors.Is(err, unix.EIO) {
			t.Errorf("step %d failed: remove() = %v", n, err)
		}
		if exists(k.configfs(), "target", e.device) {
			if err := k.remove(e); err != nil {
				t.Errorf("step %d failed the first time: remove() = %v", n, err)
			}
			if after := k.snapshot(t); after != before {
				t.Errorf("step %d failed the first time, left:\n%s\nwas:\n%s", n, after, before)
			}
		}
	}
}

func TestRemoveRefusesServedExports(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	before, ops := k.snapshot(t), len(k.ops)
	if err := k.remove(onlyExport(t, k)); err == nil || !strings.Contains(err.Error(), "my_disk_1.img-0000000a: served by lunserve (pid ") ||
		!strings.HasSuffix(hint.Text(err), "; try lunserve detach my_disk_1.img-0000000a to end that if nobody uses its disks") {
		t.Errorf("remove() = %v", err)
	}
	if k.snapshot(t) != before || len(k.ops) != ops {
		t.Error("the served export was changed")
	}
}

// kill is proposed for the lunserve that made the device, and never for a process
// that has its id now, or may have.
func TestOnlyTheServerIsKilled(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	e := onlyExport(t, k)
	if try := k.kill(e); len(try) != 1 || try[0].Line() != fmt.Sprint("kill ", e.PID) {
		t.Errorf("kill() = %v", try)
	}
	later, unknown := e, e
	later.server.started++
	unknown.server.started = 0
	for _, e := range []Export{later, unknown} {
		if try := k.kill(e); try != nil {
			t.Errorf("kill() = %v of %+v", try, e.server)
		}
	}
}

func TestRemoveKeepsOtherLUNs(t *testing.T) {
	k := newKernel(t)
	before := k.snapshot(t)
	if _, _, _, err := disks(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	k.gone("proc")
	list, err := k.exports()
	if err != nil || len(list) != 2 {
		t.Fatalf("exports() = %+v, %v", list, err)
	}
	if err := k.remove(list[0]); err != nil {
		t.Error(err)
	}
	if got := k.read("sys/bus/scsi/devices/2:0:1:1/state"); got != "running\n" {
		t.Errorf("the other disk is %s", got)
	}
	if left := k.attachments(onlyExport(t, k).device); len(left) != 1 || path.Base(left[0].lun) != "lun_1" {
		t.Errorf("left is %+v", left)
	}
	if err := k.remove(list[1]); err != nil {
		t.Error(err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

// Another program links to the device from its own target, by another name.
func TestRemoveKeepsForeignTargets(t *testing.T) {
	k := iscsiKernel(t)
	root := k.configfs() + "/target"
	other := &tree{machine: k.machine}
	const tpg = "iscsi/iqn.2003-01.org.example:other/tpgt_1"
	for _, dir := range []string{"iscsi", filepath.Dir(tpg), tpg, tpg + "/lun/lun_0", tpg + "/acls/iqn.x", tpg + "/acls/iqn.x/lun_5"} {
		other.mkdir(dir)
	}
	other.link(tpg+"/lun/lun_0", tpg+"/acls/iqn.x/lun_5/c")
	if other.err != nil {
		t.Fatal(other.err)
	}
	k.newDevice(spec, "0000000a")
	if err := os.Symlink(root+"/core/user_0/lunserve-my_disk_1.img-0000000a", root+"/"+tpg+"/lun/lun_0/3f9b8d5c1e"); err != nil {
		t.Fatal(err)
	}
	k.gone("proc")
	if err := k.remove(onlyExport(t, k)); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"/lun/lun_0", "/acls/iqn.x", "/enable"} {
		if !exists(root, tpg, name) {
			t.Errorf("%s of another's target is gone", name)
		}
	}
	if exists(root, "core/user_0") {
		t.Error("the device still exists")
	}
}

// A target without a LUN may belong to another lunserve, which is still making
// it.
func TestRemoveKeepsTargetsOfOtherProcesses(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	const other = "naa.5001405000000000"
	if _, err := k.newLoopback(other, false); err != nil {
		t.Fatal(err)
	}
	k.groups[k.configfs()+"/target/loopback/"+other]++
	k.gone("proc")
	if err := k.remove(onlyExport(t, k)); err != nil {
		t.Error(err)
	}
	if left := k.targets("loopback"); !slices.Equal(left, []string{other}) {
		t.Errorf("left are %q", left)
	}
}

// Process ids are reused, in containers soon. A living process with the same id
// may have a target without a LUN. It keeps that, and the targets of the dead
// process are removed.
func TestRemoveDistinguishesProcessesWithOneID(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	k.process(os.Getpid(), 4712, "")
	const living = "naa.5001405000000000"
	if _, err := k.newDevice(spec, "0000000b"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.newLoopback(living, false); err != nil {
		t.Fatal(err)
	}
	list, err := k.exports()
	if err != nil || len(list) != 2 || list[0].Alive || !list[1].Alive {
		t.Fatalf("exports() = %+v, %v", list, err)
	}
	if err := k.remove(list[0]); err != nil {
		t.Error(err)
	}
	for fabric, want := range map[string][]string{"loopback": {living}, "iscsi": nil, "vhost": nil} {
		if left := k.targets(fabric); !slices.Equal(left, want) {
			t.Errorf("%s: left are %q, want %q", fabric, left, want)
		}
	}
	if e := onlyExport(t, k); e.Name != list[1].Name {
		t.Errorf("left is %+v", e)
	}
}

func TestRemoveExplainsTargetsHeldByMachines(t *testing.T) {
	k := iscsiKernel(t)
	serveEverywhere(t, k)
	k.gone("proc")
	before := k.machine.before
	k.machine.before = func(verb, name string) error {
		if verb == "rmdir" && strings.HasPrefix(name, "vhost/") && strings.HasSuffix(name, "/tpgt_1") {
			return unix.EBUSY
		}
		return before(verb, name)
	}
	e := onlyExport(t, k)
	err := k.remove(e)
	vhost := k.configfs() + "/target/vhost"
	want := "; try rmdir " + vhost + "/" + wwn + "/tpgt_1 " + vhost + "/" + wwn + " " + vhost + " when the machine has ended"
	if err == nil || !strings.HasSuffix(hint.Text(err), want) {
		t.Errorf("remove() = %v", err)
	}
	if exists(k.configfs(), "target", e.device) {
		t.Error("the device still exists")
	}
}

func TestRemoveRemovesReservationsUnlessServed(t *testing.T) {
	for _, again := range []bool{false, true} {
		k, dir := databaseKernel(t)
		if _, err := k.newDevice(spec, "0000000a"); err != nil {
			t.Fatal(err)
		}
		if _, err := k.keepReservations(spec.Serial); err != nil {
			t.Fatal(err)
		}
		k.file("var/target/pr/aptpl_"+spec.Serial, "PR_REG_START: 0\n")
		if again { // by another lunserve
			if _, err := k.newDevice(spec, "0000000b"); err != nil {
				t.Fatal(err)
			}
		}
		k.gone("proc")
		list, _ := k.exports()
		if err := k.remove(list[0]); err != nil {
			t.Error(err)
		}
		if exists(dir) != again {
			t.Errorf("the image is served again is %v, but the reservations are there is %v", again, !again)
		}
	}
}
