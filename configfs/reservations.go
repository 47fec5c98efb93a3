package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Reservations is the file in which the kernel stores the persistent
// reservations of a disk if an initiator asks for that (APTPL). Without the
// directory the kernel refuses such requests.
//
//	/var/target              or the value of target/dbroot
//	└── pr
//	    └── aptpl_SERIAL     one file per disk
//
// The file exists, if empty, as long as the disk does. It keeps other lunserves
// from removing the directory when they end. As with shared directories of a
// tree, the sticky bit marks directories that lunserve made.
type Reservations struct{ undo Undo }

// KeepReservations makes the place for the reservations of the disk with this
// unit serial number. After an error nothing is left of it, and the disk works
// without.
func KeepReservations(serial string) (*Reservations, error) { return host.keepReservations(serial) }

// AdoptReservations is KeepReservations for a disk that has reservations.
func AdoptReservations(serial string) (*Reservations, error) { return host.adoptReservations(serial) }

func (m machine) keepReservations(serial string) (*Reservations, error) {
	return m.reservations(serial, unix.O_TRUNC)
}

func (m machine) adoptReservations(serial string) (*Reservations, error) {
	return m.reservations(serial, 0)
}

// ReservationsDir returns the folder of the files.
func ReservationsDir() (string, error) { return host.reservationsDir() }

func (m machine) reservationsDir() (string, error) {
	root, err := readAttribute(m.configfs(), "target/dbroot")
	return filepath.Join(root, "pr"), err
}

func (m machine) reservations(serial string, flag int) (*Reservations, error) {
	if strings.Contains(serial, "/") { // of a device that another program has made
		return nil, fmt.Errorf("serial number %q: is no part of a file name", serial)
	}
	dir, err := m.reservationsDir()
	if err != nil {
		return nil, err
	}
	root := filepath.Dir(dir)
	file := filepath.Join(dir, "aptpl_"+serial)

	// Another lunserve may remove a directory just before our file is in it.
	for tries := 0; ; tries++ {
		r := new(Reservations)
		err := errors.Join(r.mkdir(root), r.mkdir(dir))
		if err == nil {
			err = r.create(file, flag)
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

// mkdir makes a directory unless it exists.
func (r *Reservations) mkdir(dir string) error {
	// The sticky bit must be set from the start: another lunserve that saw the
	// directory without it would leave it to us, and we may end first.
	err := unix.Mkdir(dir, 0o755|unix.S_ISVTX)
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("%s: mkdir: %w", dir, err)
	}
	if fi, err := os.Stat(dir); err == nil && fi.Mode()&fs.ModeSticky != 0 {
		r.undo.Push(removal(func() error {
			err := unix.Rmdir(dir)
			if err == unix.ENOTEMPTY {
				return nil // others use it
			}
			if err != nil {
				return fmt.Errorf("%s: rmdir: %w", dir, err)
			}
			return nil
		}))
	}
	return nil
}

// create makes the file. It is ours by its name: no other image has the serial
// number.
func (r *Reservations) create(file string, flag int) error {
	fd, err := unix.Open(file, flag|unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	unix.Close(fd)
	r.undo.Push(removal(func() error { return os.Remove(file) }))
	return nil
}

// Close removes the file, and the directories that nobody else uses. A second
// Close does nothing.
func (r *Reservations) Close() error { return r.undo.Close() }
