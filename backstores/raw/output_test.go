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

// A file that was put there by another user does not give him what root writes.
func TestOutputTakesOverOwnerAndModeOnlyOfItsUser(t *testing.T) {
	storetest.NeedRoot(t)
	defer unix.Umask(unix.Umask(0o022))
	const sudo, nobody = 1234, 65534
	for _, tt := range []struct {
		name        string
		uid, links  int
		mode, input os.FileMode
		sudo        string
		wantUID     uint32
		want        uint32
	}{
		{"root", 0, 1, 0o640, 0o600, "", 0, 0o640},
		{"the user of sudo", sudo, 1, 0o460, 0o600, "1234", sudo, 0o460},
		{"a user, without sudo", sudo, 1, 0o644, 0o600, "", 0, 0o600},
		{"a user, and sudo is another's", nobody, 1, 0o644, 0o600, "1234", 0, 0o600},
		{"a user, from a public image", nobody, 1, 0o600, 0o644, "", 0, 0o600},
		{"a user, all public", nobody, 1, 0o666, 0o666, "", 0, 0o644},
		{"root, by a hard link", 0, 2, 0o644, 0o600, "", 0, 0o600},
		{"its own input's", nobody, 1, 0o460, 0, "", nobody, 0o460},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SUDO_UID", tt.sudo)
			dir := t.TempDir()
			path, base := filepath.Join(dir, "out"), storetest.NewFile(t, dir, 4096)
			err := errors.Join(os.Chmod(dir, 0o1777), os.Chmod(base, tt.input), os.WriteFile(path, nil, 0o600))
			if err := errors.Join(err, os.Chown(path, tt.uid, 4321), os.Chmod(path, tt.mode)); err != nil {
				t.Fatal(err)
			}
			if tt.links > 1 {
				if err := os.Link(path, path+"2"); err != nil {
					t.Fatal(err)
				}
			}
			if tt.input == 0 {
				base = path
			}
			if err := output(t, path, base).Complete(); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			wantGID := uint32(0)
			if tt.wantUID == uint32(tt.uid) && tt.links == 1 {
				wantGID = 4321
			}
			if st.Uid != tt.wantUID || st.Gid != wantGID || st.Mode&0o7777 != tt.want {
				t.Errorf("of %d:%d, mode %o; want %d:%d, mode %o", st.Uid, st.Gid, st.Mode&0o7777, tt.wantUID, wantGID, tt.want)
			}
		})
	}
}
