// Package tmpfs gives tests temporary directories in memory, for tests that
// make many small files. Any test may import it; it imports none of our
// packages, and no program imports it.
package tmpfs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Dir returns a new empty directory that is removed when the test ends. It is
// on the tmpfs /dev/shm if that can be written, else where t.TempDir puts it.
func Dir(t testing.TB) string {
	t.Helper()
	const shm = "/dev/shm"
	var st unix.Statfs_t
	if unix.Statfs(shm, &st) != nil || int64(st.Type) != unix.TMPFS_MAGIC {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "gotest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
