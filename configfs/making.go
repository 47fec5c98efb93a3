package configfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// making calls do, which makes a target of loopback, while the bus of tcm_loop is locked
// and has this process as its owner, as directories in configfs have. The target gets its
// own mark after mkdir, which makes a SCSI host and takes long: of a process that is
// killed meanwhile, the mark on the bus stays, and [Sweep] finds the target by it.
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
	if err := m.setGroup(bus.Name(), m.self().pid); err != nil {
		return err
	}
	return errors.Join(do(), m.setGroup(bus.Name(), 0))
}

// forgetMaker takes the mark of a dead process from the bus, unless another has put its
// own there.
func (m machine) forgetMaker(pid int) error {
	bus, err := os.Open(m.loopBus())
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := flock(bus); err != nil || m.group(bus.Name()) != pid {
		return err
	}
	return m.setGroup(bus.Name(), 0)
}

func (m machine) loopBus() string { return filepath.Join(m.sys, "bus/tcm_loop_bus") }
