package raw_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// asNobody runs f without root's access to files. The file system user ID belongs
// to the thread.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.SetfsuidRetUid(65534)
	defer unix.SetfsuidRetUid(0)
	f()
}

func TestOpenSuggestsReadOnly(t *testing.T) {
	dir := storetest.TempDir(t, "/var/tmp")
	path := storetest.NewFile(t, dir, 4096)
	for file, mode := range map[string]os.FileMode{dir: 0o755, path: 0o444} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		_, err := raw.Open(context.Background(), path, raw.Options{})
		storetest.WantError(t, err, path, "PATH: cannot be opened for writing: permission denied; try --read-only")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v is not ErrPermission", err)
		}
		open(t, path, raw.Options{ReadOnly: true})
	})
}
