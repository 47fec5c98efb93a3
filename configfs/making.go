package configfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// making calls do, which makes a target of loopback, while the bus of tcm_loop is locked
// and has this process as its owner, as directories in configfs have. The target gets its
// own mark after mkdir, which makes a SCSI host and takes long: of a process that is
// killed meanwhile, the mark on the bus stays, and the next that has the lock removes the
// target by it.
//
// Where sysfs is read-only, as in some containers, targets are made without that mark.
func (m machine) making(do func() error) error {
	bus, err := os.Open(m.loopBus())
	if errors.Is(err, fs.ErrNotExist) {
		return do() // which fails
	}
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := flock(bus); err != nil {
		return err
	}
	if err := m.removeMade(); err != nil {
		return err
	}
	switch err := m.setGroup(bus.Name(), m.self().pid); {
	case errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission):
		return do()
	case err != nil:
		return err
	}
	return errors.Join(do(), m.setGroup(bus.Name(), 0))
}

// sweepMade removes the target that a process was making when it was killed. While
// another makes one, that has done so.
func (m machine) sweepMade() error {
	if m.group(m.loopBus()) == 0 {
		return nil
	}
	bus, err := os.Open(m.loopBus())
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := unix.Flock(int(bus.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			err = nil
		}
		return err
	}
	return m.removeMade()
}

// removeMade removes the targets without a mark if the bus has one, and then that. The
// bus is locked: who put the mark there is dead.
func (m machine) removeMade() error {
	if m.group(m.loopBus()) == 0 {
		return nil
	}
	r := remover{tree: tree{machine: m}}
	for _, target := range r.targets("loopback") {
		isPortalGroup := func(name string) bool { return strings.HasPrefix(path.Base(name), "tpgt_") }
		if r.ownerPID(target) == 0 && !slices.ContainsFunc(r.children(target), isPortalGroup) {
			r.removeTarget(target)
		}
	}
	if err := errors.Join(r.errs...); err != nil {
		return err
	}
	return m.setGroup(m.loopBus(), 0)
}

func (m machine) loopBus() string { return filepath.Join(m.sys, "bus/tcm_loop_bus") }
