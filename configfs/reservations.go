package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Reservations is the file in which the kernel keeps a disk's persistent
// reservations, if an initiator asks for that (APTPL). Without the file's
// folder the kernel refuses such initiators.
//
//	/var/target              or what target/dbroot says
//	└── pr
//	    └── aptpl_SERIAL     one for each disk
//
// The file is there, if empty, for as long as the disk is: it keeps others,
// who take the folder away when they leave, from doing so. The sticky bit says
// that lunserve made a folder, as with what a tree shares.
type Reservations struct{ undo Undo }

// KeepReservations makes the place for those of the disk with this unit serial
// number. If it cannot, nothing is left; the disk works without.
func KeepReservations(serial string) (*Reservations, error) { return host.keepReservations(serial) }

func (m machine) keepReservations(serial string) (*Reservations, error) {
	root, err := readAttribute(m.configfs(), "target/dbroot")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "pr")
	file := filepath.Join(dir, "aptpl_"+serial)

	// Whoever made a folder may remove it just before we are in it.
	for tries := 0; ; tries++ {
		r := new(Reservations)
		err := errors.Join(r.mkdir(root), r.mkdir(dir))
		if err == nil {
			err = r.create(file)
		}
		if err == nil {
			return r, nil
		}
		err = errors.Join(err, r.Close())
		if !errors.Is(err, fs.ErrNotExist) || tries == 10 {
			return nil, err
		}
	}
}

// mkdir makes a folder unless it is there.
func (r *Reservations) mkdir(dir string) error {
	// With its sticky bit from the first moment: another lunserve that found it
	// without would leave it to us, who may be gone first.
	err := unix.Mkdir(dir, 0o755|unix.S_ISVTX)
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("%s: mkdir: %w", dir, err)
	}
	if fi, err := os.Stat(dir); err == nil && fi.Mode()&fs.ModeSticky != 0 {
		r.undo.Push(removal(func() error {
			err := unix.Rmdir(dir)
			if err == unix.ENOTEMPTY {
				return nil // others are in it
			}
			if err != nil {
				return fmt.Errorf("%s: rmdir: %w", dir, err)
			}
			return nil
		}))
	}
	return nil
}

// create makes the file, which is ours by its name: the serial number is that
// of no other image.
func (r *Reservations) create(file string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	unix.Close(fd)
	r.undo.Push(removal(func() error { return os.Remove(file) }))
	return nil
}

// Close removes what was made. A second Close does nothing.
func (r *Reservations) Close() error { return r.undo.Close() }
