package raw_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func output(t *testing.T, path string, from ...string) *raw.Output {
	t.Helper()
	o, err := raw.NewOutput(path, true, from...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// A process that uses a file would keep it without a name.
func TestOutputReplacesNothingInUse(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	for _, readOnly := range []bool{false, true} {
		pid, release := hold(t, path, readOnly)
		_, err := raw.NewOutput(path, true)
		storetest.WantError(t, err, path, fmt.Sprintf("PATH: locked by %s (pid %d)", storetest.ProcessName(t), pid))
		release()
	}
	pid, release := qemuHolds(t, path)
	_, err := raw.NewOutput(path, true)
	storetest.WantError(t, err, path, fmt.Sprintf("PATH: locked by qemu-io (pid %d)", pid))
	release()

	const inUse = "PATH: already open in this process; give each image once"
	o := output(t, path)
	_, err = raw.Open(context.Background(), path, reading)
	storetest.WantError(t, err, path, inUse)
	_, err = raw.NewOutput(path, true)
	storetest.WantError(t, err, path, inUse)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, writing)
}

// An input that is replaced stays locked against writers until then.
func TestOutputReplacesItsInput(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	_, release := hold(t, path, true)
	if _, err := raw.NewOutput(path, true, path); err == nil {
		t.Error("an input that another process reads is replaced")
	}
	release()
	o := output(t, path, path)
	_, err := raw.Open(context.Background(), path, writing)
	storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
	in := open(t, path, reading)
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

func TestOutputKeepsOwnerAndMode(t *testing.T) {
	storetest.NeedRoot(t)
	dir := t.TempDir()
	path, base := filepath.Join(dir, "out"), storetest.NewFile(t, dir, 4096)
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
