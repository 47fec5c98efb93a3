package backstores_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

func output(t *testing.T, path string, from ...string) *backstores.Output {
	t.Helper()
	o, err := backstores.NewOutput(path, true, from...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// Whoever has a file that is replaced would go on with one without a name.
func TestOutputReplacesNothingInUse(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	for _, readOnly := range []bool{false, true} {
		pid, release := hold(t, path, readOnly)
		_, err := backstores.NewOutput(path, true)
		wantError(t, err, path, fmt.Sprintf("PATH: locked by %s (pid %d)", name(t), pid))
		release()
	}
	pid, release := qemuHolds(t, path)
	_, err := backstores.NewOutput(path, true)
	wantError(t, err, path, fmt.Sprintf("PATH: locked by qemu-io (pid %d)", pid))
	release()

	const open = "PATH: open here already; give each image once"
	o := output(t, path)
	_, err = backstores.Open(path, reading)
	wantError(t, err, path, open)
	_, err = backstores.NewOutput(path, true)
	wantError(t, err, path, open)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	openAs(t, path, writing)
}

// Until it is replaced nobody else may write what the new file is made of.
func TestOutputReplacesItsInput(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	_, release := hold(t, path, true)
	if _, err := backstores.NewOutput(path, true, path); err == nil {
		t.Error("another reads it")
	}
	release()
	o := output(t, path, path)
	_, err := backstores.Open(path, writing)
	wantError(t, err, path, "PATH: open here already; give each image once")
	in := openAs(t, path, reading)
	if _, err := o.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if p, err := os.ReadFile(path); string(p) != "new" {
		t.Errorf("holds %q (%v)", p, err)
	}
	if in.Size() != 4096 {
		t.Errorf("its input has %d bytes", in.Size())
	}
}

// What one may not read does not become readable by being packed, unpacked, or
// laid under an overlay.
func TestNewFileGivesNoMoreThanItsInput(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	dir := t.TempDir()
	base := newFile(t, dir, 4096)
	for _, tt := range []struct{ in, out os.FileMode }{
		{0o600, 0o600}, {0o640, 0o640}, {0o660, 0o640}, {0o644, 0o644}, {0o444, 0o644}, {0o400, 0o600}, {0o755, 0o644},
	} {
		if err := os.Chmod(base, tt.in); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "new")
		o, err := backstores.NewOutput(path, false, base)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(o.Complete(), o.Close()); err != nil {
			t.Fatal(err)
		}
		over := filepath.Join(dir, "overlay")
		overlay(t, over, base).Close()
		for _, name := range []string{path, over} {
			if st, err := os.Stat(name); err != nil || st.Mode() != tt.out {
				t.Errorf("made of %v: %s: %v, want %v (%v)", tt.in, filepath.Base(name), st.Mode(), tt.out, err)
			}
			os.Remove(name)
		}
	}
}

// Whom the old file was for, the one in its place is.
func TestOutputKeepsOwnerAndMode(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	path, base := filepath.Join(dir, "out"), newFile(t, dir, 4096)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(path, 1234, 4321), os.Chmod(path, 0o460)); err != nil {
		t.Fatal(err)
	}
	o := output(t, path, base)
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Uid != 1234 || st.Gid != 4321 || st.Mode&0o7777 != 0o460 {
		t.Errorf("of %d:%d, mode %o", st.Uid, st.Gid, st.Mode&0o7777)
	}
}
