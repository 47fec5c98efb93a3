package raw

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel reports a failed sync once, so the sync at the end would succeed.
func TestOutputWhoseSyncFailedIsNotCompleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	o, err := NewOutput(path, false)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe() // a pipe cannot be synced
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	o.ahead.fd = int(w.Fd())
	p := make([]byte, 1<<20)
	for range syncEvery / len(p) {
		if _, err := o.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Complete(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Complete() = %v, want %v", err, unix.EINVAL)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}
