package overlay_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A file is in another session after it was unmounted, also if the mount has the
// same plain id as before, as the next mount often has.
func TestSessionEndsWithTheMount(t *testing.T) {
	storetest.NeedRoot(t)
	files, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "overlay"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unique := false
	session := func() overlay.Session {
		t.Helper()
		if err := unix.Mount(files, dir, "", unix.MS_BIND, ""); err != nil {
			storetest.Missing(t, "bind mount", err)
		}
		defer unix.Unmount(dir, 0)
		f, err := os.Open(filepath.Join(dir, "overlay"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var st unix.Statx_t
		if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
			t.Fatal(err)
		}
		unique = st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 // since Linux 6.8
		s := overlay.SessionOf(int(f.Fd()))
		if overlay.SessionOf(int(f.Fd())) != s {
			t.Error("a file is in two sessions")
		}
		return s
	}
	seen := make(map[overlay.Session]bool)
	for range 20 {
		seen[session()] = true
	}
	if unique && len(seen) != 20 {
		t.Errorf("20 mounts are %d sessions", len(seen))
	}
}
