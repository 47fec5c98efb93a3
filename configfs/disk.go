package configfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// How long to wait for the kernel to announce a disk that it has found, which
// takes a few of the disk's answers, and then for udev to be done with it.
const (
	announceTimeout = time.Minute
	udevTimeout     = 10 * time.Second
)

var errNotAnnounced = fmt.Errorf("still not after %v", announceTimeout)

// announced waits until the kernel has announced the disk at a SCSI address,
// which it does when it has made the nodes and read the partition table, and
// until udev, if it runs, has done its part. The events are those since before
// the disk was there.
func (m machine) waitForDisk(ctx context.Context, events listener, address string) (string, error) {
	var disk uevent
	early, cancel := context.WithTimeoutCause(ctx, announceTimeout, errNotAnnounced)
	defer cancel()
	for disk.devpath == "" {
		ev, err := events.next(early)
		switch {
		case errors.Is(err, errMissed):
			m.reannounce(m.glob(m.sys, "bus/scsi/devices", address, "block/*/uevent")...)
		case err != nil:
			return "", hint.With(fmt.Errorf("no disk was announced at SCSI address %s: %w", address, err), kernelLog)
		case ev.isDisk(address):
			disk = ev
		}
	}
	node, err := m.node(disk.devname)
	if err != nil || !exists(m.run, "udev/control") {
		return node, err
	}

	soon, cancel := context.WithTimeout(ctx, udevTimeout)
	defer cancel()
	settled := make(map[string]bool)
	for {
		var left []string
		for _, devpath := range append(m.partitions(disk.devpath), disk.devpath) {
			if !settled[devpath] {
				left = append(left, filepath.Join(m.sys, devpath, "uevent"))
			}
		}
		if len(left) == 0 {
			return node, nil
		}
		ev, err := events.next(soon)
		switch {
		case errors.Is(err, errMissed):
			m.reannounce(left...)
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case soon.Err() != nil:
			return node, nil
		case err != nil:
			return "", err
		case ev.udev:
			settled[ev.devpath] = true
		}
	}
}

// isDisk tells whether the kernel announces the disk at a SCSI address. Other
// than "add", that can be the "change" of repeat.
func (ev uevent) isDisk(address string) bool {
	return !ev.udev && (ev.action == "add" || ev.action == "change") &&
		strings.HasSuffix(path.Dir(ev.devpath), "/"+address+"/block")
}

// repeat has the kernel announce devices again, whose uevents were missed. It
// does not as long as it has not announced them for the first time.
func (m machine) reannounce(uevents ...string) {
	for _, f := range uevents {
		write(f, "change")
	}
}

// partitions are the devpaths of a disk's partitions.
func (m machine) partitions(devpath string) (parts []string) {
	for _, f := range m.glob(m.sys, devpath, "*/partition") {
		parts = append(parts, path.Join(devpath, filepath.Base(filepath.Dir(f))))
	}
	return parts
}

// glob returns the files that fit a pattern. No part of it may hold what means
// something in patterns and is not meant so.
func (m machine) glob(pattern ...string) []string {
	found, _ := filepath.Glob(filepath.Join(pattern...))
	return found
}

// Rescan has the kernel ask a disk of this machine, such as "/dev/sdb", for its
// size, which is to be this. The disk must be served meanwhile.
func Rescan(disk string, size int64) error { return host.rescan(disk, size) }

func (m machine) rescan(disk string, size int64) error {
	dir := filepath.Join(m.sys, "class/block", filepath.Base(disk))
	if err := writeAttribute(filepath.Join(dir, "device/rescan"), "1"); err != nil {
		return err
	}
	const sector = 512 // whatever the size of the disk's blocks
	got, err := readAttribute(dir, "size")
	if err == nil && got != strconv.FormatInt(size/sector, 10) {
		err = hint.With(fmt.Errorf("%s: the kernel read its size again and has %s sectors, not %d", disk, got, size/sector), kernelLog)
	}
	return err
}

// flush writes to the disk what the kernel holds for it in memory: for file
// systems that are mounted from it, for its partitions, and for what is made of
// them, such as logical volumes.
func (m machine) flush(disk string) error {
	if disk == "" {
		return nil // it never appeared
	}
	var errs []error
	for _, path := range m.uses().Stack(disk) {
		done := m.busy.begin("flush " + path)
		err := flush(path)
		done()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: flush: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

func flush(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return withoutPath(err)
	}
	defer f.Close()
	// The first is for a mounted file system, the second tells of errors.
	unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0)
	return withoutPath(f.Sync())
}
