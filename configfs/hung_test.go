package configfs

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hang makes an operation hang, as the kernel may for ever, until released. The
// operations of others are counted.
func (k *kernel) hang(verb, prefix string) (release func(), ops func() string) {
	var mu sync.Mutex
	var all []string
	released := make(chan struct{})
	before, after := k.machine.before, k.machine.after
	k.machine.before = func(v, name string) error {
		if v == verb && strings.HasPrefix(name, prefix) {
			<-released
		}
		mu.Lock()
		defer mu.Unlock()
		return before(v, name)
	}
	k.machine.after = func(v, name string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, v+" "+name)
		after(v, name)
	}
	return func() { close(released) }, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n")
	}
}

// expect fails t unless the operations were done, or not.
func expect(t *testing.T, ops string, done bool, want ...string) {
	t.Helper()
	for _, op := range want {
		if strings.Contains(ops, op) != done {
			t.Errorf("%q was done is %v:\n%s", op, !done, ops)
		}
	}
}

// The LUN of a dead server hangs. Those of other fabrics are removed, and what
// depends on it is left alone: an rmdir would make its directory hang for everyone.
func TestRemoveGoesOnWhenALUNHangs(t *testing.T) {
	k := iscsiKernel(t)
	before := k.snapshot(t)
	serveEverywhere(t, k)
	k.gone("proc")
	e := onlyExport(t, k)
	synctest.Test(t, func(t *testing.T) {
		release, ops := k.hang("unlink", "loopback/")
		m := k.machine
		removed := make(chan error, 1)
		go func() { removed <- m.remove(e) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, ops(), true, "unlink iscsi/"+iqn+"/tpgt_1/lun/lun_0/", "rmdir iscsi/"+iqn+"/tpgt_1/lun/lun_0", "unlink vhost/"+wwn)
		expect(t, ops(), false, "loopback/"+wwn+"/tpgt_1/lun", "rmdir core/", "rmdir iscsi/"+iqn+"/tpgt_1\n")
		if what := m.busy.unfinished(time.Second); len(what) != 1 || !strings.Contains(what[0], "unlink") || !strings.Contains(what[0], "/loopback/") {
			t.Errorf("the kernel is busy with %q", what)
		}
		release()
		if err := <-removed; err != nil {
			t.Error(err)
		}
	})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

// The sessions of a target do not end, or one LUN hangs. The other is removed.
func TestLUNIsRemovedThoughItsTargetHangs(t *testing.T) {
	for _, hung := range []string{"write iscsi/" + iqn + "/tpgt_1/enable", "unlink iscsi/" + iqn + "/tpgt_1/lun/lun_1"} {
		k := iscsiKernel(t)
		before := k.snapshot(t)
		d, err := k.newDevice(spec, "0000000a")
		if err != nil {
			t.Fatal(err)
		}
		i, err := k.newISCSI(ISCSISpec{IQN: iqn})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			verb, name, _ := strings.Cut(hung, " ")
			var release func()
			var ops func() string
			for n := range 2 {
				if err := i.AddLUN(n, d); err != nil {
					t.Fatal(err)
				}
			}
			if err := i.Enable(); err != nil {
				t.Fatal(err)
			}
			release, ops = k.hang(verb, name)
			// The object's trees have copies of the machine.
			for _, x := range []*tree{i.tree, i.tree.luns[0], i.tree.luns[1]} {
				x.machine = k.machine
			}
			var down Undo
			down.For("").Push(i.Close)
			for n := range 2 {
				down.For(string(rune('a' + n))).Push(func() error { return i.RemoveLUN(n) })
			}
			down.For("sessions").Push(i.Disable)
			closed := make(chan error, 1)
			go func() { closed <- down.Close() }()
			time.Sleep(time.Minute)
			synctest.Wait()
			expect(t, ops(), true, "rmdir iscsi/"+iqn+"/tpgt_1/lun/lun_0")
			expect(t, ops(), false, "rmdir iscsi/"+iqn+"/tpgt_1\n", hung)
			release()
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if after := k.snapshot(t); after != before {
			t.Errorf("%s, left:\n%s\nwas:\n%s", hung, after, before)
		}
	}
}
