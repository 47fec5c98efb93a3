package configfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An Identity is what initiators identify a disk by, on all fabrics. They take
// two disks with the same identity for two paths to one disk.
type Identity struct {
	Serial string // the unit serial number: 16 hex digits
	WWN    string // an NAA identifier, as from [WWN]

	lock *os.File
}

// NewIdentity returns an identity for a disk of the image at path: the same one
// each time on this machine, unless another disk has it. Two lunserves may serve
// one image if each keeps its writes to itself, and one that was killed may have
// left a disk.
//
// Until Close no other identity is given out. Close it when the device that has
// it exists.
func NewIdentity(ctx context.Context, path string) (*Identity, error) {
	return host.newIdentity(ctx, path)
}

func (m machine) newIdentity(ctx context.Context, path string) (_ *Identity, err error) {
	core := filepath.Join(m.configfs(), "target/core")
	lock, err := lockFile(ctx, core)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	taken := make(map[string]bool)
	for _, dir := range m.glob(core, "user_*", prefix+"*") {
		taken[m.serialOf(strings.TrimPrefix(dir, filepath.Dir(core)+"/"))] = true
	}
	for n := 0; ; n++ {
		use := ""
		if n > 0 {
			use = fmt.Sprint(" ", n)
		}
		serial, err := m.digest(path, "serial"+use)
		if err != nil {
			return nil, err
		}
		if serial = serial[:16]; !taken[serial] {
			wwn, err := m.wwn(path, "unit"+use)
			return &Identity{serial, wwn, lock}, err
		}
	}
}

// lockFile opens a file or directory and waits for its exclusive flock, which
// ends when the file is closed.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		for err == unix.EINTR {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: lock: %w", path, err)
		}
		return f, nil
	case <-ctx.Done():
		go func() { // the wait for the lock cannot be interrupted
			<-done
			f.Close()
		}()
		return nil, fmt.Errorf("%s: interrupted while waiting for another lunserve that is starting", path)
	}
}

// Close lets other processes make identities.
func (i *Identity) Close() error { return i.lock.Close() }
