package configfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An Identity is what initiators know a disk by, whichever way they reach it.
// They take two disks with the same for one.
type Identity struct {
	Serial string // the unit serial number: 16 hex digits
	WWN    string // an NAA identifier, as of [WWN]

	lock *os.File
}

// NewIdentity is one for a disk of the image at path, the same each time on this
// machine. While another lunserve serves a disk with that, as two may with the
// writes of each apart, it is one of its own.
//
// Until the identity is closed nobody else gets one; so it is closed when the
// device is there that has it.
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
	exports, err := m.exports()
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool)
	for _, e := range exports {
		if text, err := readAttribute(core, strings.TrimPrefix(e.device, "core/"), "wwn/vpd_unit_serial"); err == nil && e.Alive {
			_, serial, _ := strings.Cut(text, ": ") // the kernel says what it is
			taken[serial] = true
		}
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

// locked opens a file or folder and waits for its one lock, which ends when it
// is closed.
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
		go func() { // until it has it, or the process ends
			<-done
			f.Close()
		}()
		return nil, fmt.Errorf("%s: interrupted; another lunserve that is starting has it locked", path)
	}
}

// Close lets others get identities.
func (i *Identity) Close() error { return i.lock.Close() }
