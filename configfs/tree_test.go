package configfs

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

func TestCloseUndoesNewestFirst(t *testing.T) {
	k := newKernel(t)
	tr := &tree{machine: k.machine}
	tr.mkdir("core/user_0")
	tr.mkdir("core/user_0/a")
	tr.mkdir("vhost")
	tr.link("core/user_0/a", "vhost/link")
	if tr.err != nil {
		t.Fatal(tr.err)
	}
	k.ops = nil
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, k.ops, []string{"unlink vhost/link", "rmdir vhost", "rmdir core/user_0/a", "rmdir core/user_0"})

	k.refuse = func(verb, name string) bool {
		t.Errorf("a second Close does %s %s", verb, name)
		return false
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseContinuesAfterErrors(t *testing.T) {
	k := newKernel(t)
	tr := &tree{machine: k.machine}
	for _, name := range []string{"a", "b", "c"} {
		tr.mkdir(name)
	}
	k.ops = nil
	k.refuse = func(verb, name string) bool { return name != "b" }
	err := tr.Close()
	same(t, k.ops, []string{"rmdir b"})
	for _, name := range []string{"/target/a: rmdir: ", "/target/c: rmdir: "} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Close() = %v, want %q in it", err, name)
		}
	}
}

func TestCloseAcceptsWhatIsGone(t *testing.T) {
	k := newKernel(t)
	tr := &tree{machine: k.machine}
	tr.mkdir("a")
	os.Remove(tr.path("a"))
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsDoneAfterAnError(t *testing.T) {
	k := newKernel(t)
	tr := &tree{machine: k.machine}
	tr.mkdir("none/such")
	first := tr.err
	tr.mkdir("a")
	tr.mkdirShared("b", "b/c")
	tr.set("version", "x")
	tr.link("core", "link")
	if got := tr.get("version"); got != "" {
		t.Errorf("get() = %q after an error", got)
	}
	if !errors.Is(first, fs.ErrNotExist) || tr.err != first {
		t.Errorf("the error was %v, then %v", first, tr.err)
	}
	same(t, k.ops, nil)
}

func TestSetCreatesNothing(t *testing.T) {
	k := newKernel(t)
	tr := &tree{machine: k.machine}
	tr.set("attribute", "secret")
	if !errors.Is(tr.err, fs.ErrNotExist) || strings.Contains(tr.err.Error(), "secret") {
		t.Errorf("set() = %v", tr.err)
	}
	if exists(tr.path("attribute")) {
		t.Error("set created a file")
	}
}

// It does not matter which process made the directory.
func TestLastUserRemovesTheSharedDirectory(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		k := newKernel(t)
		before := k.snapshot(t)
		var trees [2]*tree
		for i, child := range []string{"loopback/a", "loopback/b"} {
			trees[i] = &tree{machine: k.machine}
			trees[i].mkdirShared("loopback", child)
			if trees[i].err != nil {
				t.Fatal(trees[i].err)
			}
		}
		for _, i := range order {
			if before == k.snapshot(t) {
				t.Error("the directory was removed before its last user ended")
			}
			if err := trees[i].Close(); err != nil {
				t.Error(err)
			}
		}
		if after := k.snapshot(t); after != before {
			t.Errorf("left:\n%s\nwas:\n%s", after, before)
		}
	}
}

func TestForeignSharedDirectoryStays(t *testing.T) {
	k := newKernel(t)
	k.file("sys/kernel/config/target/loopback/naa.foreign/nexus", "x")
	before := k.snapshot(t)
	tr := &tree{machine: k.machine}
	tr.mkdirShared("loopback", "loopback/a")
	if err := errors.Join(tr.err, tr.Close()); err != nil {
		t.Fatal(err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
	k.gone("sys/kernel/config/target/loopback/naa.foreign")
	tr = &tree{machine: k.machine}
	tr.mkdirShared("loopback", "loopback/a")
	if err := errors.Join(tr.err, tr.Close()); err != nil || !exists(tr.path("loopback")) {
		t.Errorf("an empty foreign directory was removed: %v", err)
	}
}

// Another lunserve ends between our join of the shared directory and our mkdir
// in it.
func TestSharedDirectoryMayVanish(t *testing.T) {
	k := newKernel(t)
	other := &tree{machine: k.machine}
	other.mkdirShared("loopback", "loopback/a")
	left := false
	k.refuse = func(verb, name string) bool {
		if name == "loopback/b" && !left {
			left = true
			if err := other.Close(); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	tr := &tree{machine: k.machine}
	tr.mkdirShared("loopback", "loopback/b")
	if tr.err != nil || !left {
		t.Fatal(tr.err, left)
	}
	if err := tr.Close(); err != nil || exists(tr.path("loopback")) {
		t.Errorf("Close() = %v, and the shared directory still exists", err)
	}
}

func TestErrorsNameTheCause(t *testing.T) {
	for _, tt := range []struct {
		verb, name string
		errno      unix.Errno
		want       string
	}{
		{"mkdir", "core/user_0", unix.EINVAL, "x: invalid argument: the kernel's target has no user backstore; try modprobe target_core_user"},
		{"mkdir", "loopback", unix.EINVAL, "x: invalid argument: the kernel has no loopback target; try modprobe tcm_loop"},
		{"mkdir", "loopback/naa.1", unix.EINVAL, "x: invalid argument: the kernel gives the reason only in its log; try dmesg | tail"},
		{"rmdir", "core/user_0/a", unix.EBUSY, "x: device or resource busy: a LUN still uses it; try targetcli ls"},
		{"write", "core/user_0/a/enable", unix.ENOENT, "x: no such file or directory: tcmu-runner refused the device; try systemctl status tcmu-runner"},
		{"mkdir", "core/user_0", unix.EACCES, "x: permission denied; run it as root, outside of containers"},
		{"rmdir", "core/user_0", unix.EPERM, "x: operation not permitted"},
		{"mkdir", "core/user_0", unix.EIO, "x: input/output error"},
	} {
		err := explain(tt.verb, tt.name, &fs.PathError{Op: "x", Err: tt.errno})
		got := strings.Replace(hint.Text(err), "x : ", "x: ", 1)
		if got != tt.want || !errors.Is(err, tt.errno) {
			t.Errorf("%s %s: got %q, want %q", tt.verb, tt.name, got, tt.want)
		}
	}
}
