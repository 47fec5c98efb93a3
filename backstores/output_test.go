package backstores_test

import (
	"fmt"
	"os"
	"testing"

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
