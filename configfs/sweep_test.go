package configfs

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

// Their devices are gone, and the process is killed at each step of the rest.
func TestSweepRemovesTargetsWithoutDisks(t *testing.T) {
	for n, ended := 1, false; !ended; n++ {
		k := iscsiKernel(t)
		before := k.snapshot(t)
		var at string
		first, hook := -1, k.machine.before // none yet
		k.machine.before = func(verb, name string) error {
			if first >= 0 && k.n-first+1 == n {
				at = verb + " " + name
				panic("killed")
			}
			return hook(verb, name)
		}
		d, err1 := k.newDevice(spec, "0000000a")
		l, err2 := k.newLoopback(wwn, false)
		i, err3 := k.newISCSI(ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{freePortal(t, "[::1]")}, Allow: []string{"iqn.2001-04.com.example:me"}})
		v, err4 := k.newVhost(wwn)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		first = k.n
		func() {
			defer func() {
				k.machine.before = hook
				ended = recover() == nil
			}()
			if err := errors.Join(d.Close(), v.Close(), i.Close(), l.Close()); err != nil {
				t.Error(err)
			}
		}()
		list, err := k.exports()
		if err != nil || len(list) > 0 {
			continue // which Remove is for
		}
		if err := k.sweep(list, 0); err != nil {
			t.Errorf("killed at %s: %v", at, err)
		}
		if at != "rmdir loopback" && !ended && k.snapshot(t) == before {
			t.Errorf("killed at %s: swept while the process runs", at)
		}
		guarded := 0
		if n%2 == 0 { // its guard sweeps, and the process is still listed
			guarded = k.self().pid
		} else {
			k.gone("proc")
		}
		if err := k.sweep(list, guarded); err != nil {
			t.Errorf("killed at %s: %v", at, err)
		}
		if after := k.snapshot(t); after != before {
			t.Errorf("killed at %s, left:\n%s\nwas:\n%s", at, after, before)
		}
	}
}

// A device that is there makes its server's targets those of an export, even if
// the process is dead: who adopts it wants them.
func TestSweepKeepsTheTargetsOfExports(t *testing.T) {
	k := iscsiKernel(t)
	_, err := k.newDevice(spec, "0000000a")
	if _, err2 := k.newLoopback(wwn, false); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	k.gone("proc")
	if err := k.sweep([]Export{onlyExport(t, k)}, 0); err != nil {
		t.Error(err)
	}
	if left := k.targets("loopback"); !slices.Equal(left, []string{wwn}) {
		t.Errorf("left are %q", left)
	}
}
