package configfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// withHostQueues calls do, which makes a SCSI host of tcm_loop, while its module
// parameter nr_hw_queues is 2. By default it is 1. Then the block layer completes each
// command through ksoftirqd (blk_mq_complete_request_remote), which costs two context
// switches.
//
// Measured with make bench on 2026-11-29 in a Debian 6.1 guest with two CPUs of a shared
// machine (AMD EPYC), one queue and two: context switches a request at depth 1 15.3 and
// 12.7 for reads of 4 KiB, 15.8 and 14.0 for writes; at depth 32 6.0 and 2.8, 5.7 and 4.4.
// The IOPS are 2.0, 1.1, 1.6 and 1.2 times as many. A mix of reads and writes of 16 KiB at
// depth 16 has 6.7 and 4.7 switches, and 0.8 times the IOPS; on the day before, when the
// machine was quieter, it had 1.3 times.
//
// The parameter is the whole machine's and is read when a host is made, so it is 1
// again afterwards. If it is something else before, the administrator has chosen it,
// and it stays. While it is 2, its file has this process as its owner, as directories
// in configfs have, and is locked.
func (m machine) withHostQueues(do func()) error {
	parameter, err := m.openHostQueues()
	if parameter == nil {
		do()
		return err
	}
	defer parameter.Close()
	name := parameter.Name()
	if queues, err := readAttribute(name); err != nil || queues != "1" {
		do()
		return err
	}
	if err := m.setGroup(name, m.self().pid); err != nil {
		return err
	}
	if err := writeAttribute(name, "2"); err != nil {
		return errors.Join(err, m.setGroup(name, 0))
	}
	do()
	return m.resetHostQueues(name)
}

// restoreHostQueues does what a process could not do that was killed in withHostQueues.
// A process that lives has the lock, for a moment.
func (m machine) restoreHostQueues() error {
	if m.group(m.hostQueues()) == 0 {
		return nil
	}
	parameter, err := m.openHostQueues() // which restores it
	if parameter != nil {
		err = errors.Join(err, parameter.Close())
	}
	return err
}

func (m machine) hostQueues() string {
	return filepath.Join(m.sys, "module/tcm_loop/parameters/nr_hw_queues")
}

// openHostQueues opens the parameter's file, locks it, and restores the parameter if
// its owner was killed. It returns nil if the kernel has no such parameter, as before
// 5.18, or does not let it be changed.
func (m machine) openHostQueues() (*os.File, error) {
	f, err := os.OpenFile(m.hostQueues(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err = flock(f); err == nil && m.group(f.Name()) != 0 {
		err = m.resetHostQueues(f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// resetHostQueues makes the parameter 1 again, then nobody its owner.
func (m machine) resetHostQueues(name string) error {
	if err := writeAttribute(name, "1"); err != nil {
		return err
	}
	return m.setGroup(name, 0)
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}
