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

// The kernel announces a disk after a few commands to it. udev then makes links
// and runs rules.
const (
	announceTimeout = time.Minute
	udevTimeout     = 10 * time.Second
)

var errNotAnnounced = fmt.Errorf("not within %v", announceTimeout)

// waitForDisk waits until the kernel has announced the disk at a SCSI address,
// which means that its node exists and the partition table is read, and until
// udev, if it runs, has processed the disk and its partitions. The listener
// must have been opened before the disk appeared.
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

// isDisk reports whether the kernel announces the disk at a SCSI address: as
// "add" or, after reannounce, as "change".
func (ev uevent) isDisk(address string) bool {
	return !ev.udev && (ev.action == "add" || ev.action == "change") &&
		strings.HasSuffix(path.Dir(ev.devpath), "/"+address+"/block")
}

// reannounce makes the kernel send the uevents of devices again, after some
// were lost. The kernel does nothing for a device that it has not announced
// yet.
func (m machine) reannounce(uevents ...string) {
	for _, f := range uevents {
		write(f, "change")
	}
}

// partitions returns the devpaths of the partitions of a disk.
func (m machine) partitions(devpath string) (parts []string) {
	for _, f := range m.glob(m.sys, devpath, "*/partition") {
		parts = append(parts, path.Join(devpath, filepath.Base(filepath.Dir(f))))
	}
	return parts
}

// glob returns the files that match a pattern. Names put into a pattern must
// not contain its special characters.
func (m machine) glob(pattern ...string) []string {
	found, _ := filepath.Glob(filepath.Join(pattern...))
	return found
}

// Rescan makes the kernel read the size of a local disk, such as "/dev/sdb",
// again, and returns an error if it is not size. The disk must be served
// meanwhile.
func Rescan(disk string, size int64) error { return host.rescan(disk, size) }

func (m machine) rescan(disk string, size int64) error {
	dir := filepath.Join(m.sys, "class/block", filepath.Base(disk))
	if err := writeAttribute(filepath.Join(dir, "device/rescan"), "1"); err != nil {
		return err
	}
	const sector = 512 // in sysfs, for any block size
	got, err := readAttribute(dir, "size")
	if err == nil && got != strconv.FormatInt(size/sector, 10) {
		err = hint.With(fmt.Errorf("%s: the kernel reads a size of %s sectors, not %d", disk, got, size/sector), kernelLog)
	}
	return err
}

// flush writes what the kernel caches for a disk: the data of mounted file
// systems, of partitions, and of devices stacked on it, such as logical
// volumes.
func (m machine) flush(disk string) error {
	if disk == "" {
		return nil // the disk never appeared
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
	// BLKFLSBUF also flushes mounted file systems; fsync reports the errors.
	unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0)
	return withoutPath(f.Sync())
}
