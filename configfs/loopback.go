package configfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// A Loopback is a SCSI host on this machine whose disks are our LUNs. It is not
// safe for concurrent use.
type Loopback struct {
	tree    *tree
	tpg     string // loopback/naa.…/tpgt_1
	address string // of the target among the SCSI devices, H:C:T
	luns    []*lun
	flush   sync.Once // before the first LUN is removed
}

// A lun is one disk of a Loopback.
type lun struct {
	dev     *Device
	node    string        // "/dev/sdb"; empty until it has appeared
	flushed chan struct{} // closed when it was flushed, before the first LUN is removed
	err     error         // of that
}

var errNotServed = errors.New("its ring is no longer served")

// NewLoopback makes a target without disks. Its name is wwn, as from [WWN]. If
// another target has the name, the error is [fs.ErrExist]. Its SCSI host has two
// hardware queues, unless oneQueue is set or the administrator has chosen a number for
// the module tcm_loop.
func NewLoopback(wwn string, oneQueue bool) (*Loopback, error) {
	return host.newLoopback(wwn, oneQueue)
}

// AdoptLoopback is NewLoopback for a target of a dead process. Its LUNs are
// adopted by AddLUN, and stay as they are if there is an error.
func AdoptLoopback(wwn string) (*Loopback, error) {
	return makeLoopback(&tree{machine: host, adopting: true}, wwn, true)
}

func (m machine) newLoopback(wwn string, oneQueue bool) (*Loopback, error) {
	return makeLoopback(&tree{machine: m}, wwn, oneQueue)
}

func makeLoopback(t *tree, wwn string, oneQueue bool) (*Loopback, error) {
	target := "loopback/" + wwn
	l := &Loopback{tree: t, tpg: target + "/tpgt_1"}

	makeHost := func() { t.mkdirShared("loopback", target) }
	if err := t.making(func() error {
		if oneQueue {
			makeHost()
			return nil
		}
		return t.withHostQueues(makeHost)
	}); t.err == nil {
		t.err = err
	}
	t.mkdir(l.tpg)
	t.set(l.tpg+"/nexus", wwn)
	l.address = t.get(l.tpg + "/address")
	if t.err != nil {
		return nil, t.fail()
	}
	return l, nil
}

// AddLUN makes dev the LUN n and returns its node, such as "/dev/sdb", when the
// node and those of its partitions exist. If udev runs, it has processed them,
// unless that takes more than 10 s.
//
// The ring of dev must be served meanwhile, because the kernel probes the disk
// through it. Cancelling ctx ends the wait for the node but not the probe;
// [Device.Reset] ends both. After an error only Close may be called.
func (l *Loopback) AddLUN(ctx context.Context, n int, dev *Device) (disk string, err error) {
	t := l.tree.lun(n)
	defer func() { l.tree.err = t.err }()
	dir := fmt.Sprintf("%s/lun/lun_%d", l.tpg, n)
	address := fmt.Sprintf("%s:%d", l.address, n)
	scsi := filepath.Join(t.sys, "bus/scsi/devices", address)

	// Listen before the link is made, which makes the kernel announce the disk.
	events, err := t.listen()
	if err != nil {
		return "", err
	}
	defer events.Close()

	t.mkdir(dir)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	forget := dev.onReset(func() error {
		cancel(errNotServed)
		return t.takeOffline(l.tpg, scsi)
	})
	// Runs after the link is removed, and before the target is: then another
	// target may get its SCSI address.
	t.push(func() error { forget(); return nil })
	if t.err == nil && dev.wasReset() {
		// The reset came too early to take this LUN offline. Without an error
		// the kernel would probe the disk until its commands time out.
		t.err = fmt.Errorf("%s: %w", dev.UIO, errNotServed)
	}
	t.link(dev.name, dir+"/"+filepath.Base(dev.name))
	if t.err != nil {
		return "", t.err
	}
	x := &lun{dev: dev, flushed: make(chan struct{})}
	l.luns = append(l.luns, x)
	t.push(func() error {
		l.flushFor(x)
		if dev.wasReset() {
			return t.markWriteThrough(scsi)
		}
		// Linux accepts no more writes for a disk whose link is removed. With
		// 6.1 and 6.12, everything that was not flushed before was lost.
		return cmp.Or(t.flush(x.node), x.err)
	})

	// The link is made even if the kernel finds no disk behind it.
	if !exists(scsi) {
		t.err = hint.With(fmt.Errorf("%s: the kernel probed for a disk and found none", scsi), kernelLog)
		return "", t.err
	}
	if t.adopting {
		if x.node, t.err = t.bringOnline(l.tpg, scsi); x.node != "" || t.err != nil {
			return x.node, t.err
		}
	}
	x.node, t.err = t.waitForDisk(ctx, events, address)
	return x.node, t.err
}

// bringOnline undoes what a removal or the error handling of the kernel did to a
// disk that is adopted. It returns the node, or "" if the kernel has yet to make
// it.
func (t *tree) bringOnline(tpg, scsi string) (node string, err error) {
	if status, _ := readAttribute(t.path(tpg), "transport_status"); status == "offline" {
		err = t.op("write", tpg+"/transport_status", func(path string) error { return write(path, "online") })
	}
	if state, _ := readAttribute(scsi, "state"); state == "offline" && err == nil {
		err = writeAttribute(scsi+"/state", "running\n")
	}
	for _, block := range subdirs(scsi + "/block") {
		if err == nil {
			return t.node(block)
		}
	}
	return "", err
}

// flushFor flushes all disks before the first LUN is removed, and returns when that
// of x may be. The removal makes the other disks report that the LUNs have changed.
// Linux takes that as a medium change of removable disks, and drops their unwritten
// data. So x waits for removable disks, and for others only if they are quick.
func (l *Loopback) flushFor(x *lun) {
	l.flush.Do(func() {
		for _, y := range l.luns {
			go func() {
				defer close(y.flushed)
				if !y.dev.wasReset() {
					y.err = l.tree.flush(y.node)
				}
			}()
		}
	})
	end := time.Now().Add(time.Second)
	for _, y := range l.luns {
		if y == x || y.dev.spec.Removable {
			<-y.flushed
			continue
		}
		select {
		case <-y.flushed:
		case <-time.After(time.Until(end)):
		}
	}
}

// takeOffline makes the kernel refuse commands to a disk, whose sysfs directory
// is scsi, or to all disks of its target while that directory does not exist.
func (t *tree) takeOffline(tpg, scsi string) error {
	if !exists(scsi) { // being probed, or the probe failed
		return t.takeTargetOffline(tpg)
	}
	return writeAttribute(scsi+"/state", "offline\n")
}

// takeTargetOffline makes the target refuse commands to all its disks.
func (t *tree) takeTargetOffline(tpg string) error {
	return t.op("write", tpg+"/transport_status", func(path string) error { return write(path, "offline") })
}

// markWriteThrough makes the kernel treat the disk as one without a write
// cache. Otherwise it would flush the cache when the disk is removed, and retry
// that for minutes if the ring is not served.
func (m machine) markWriteThrough(scsi string) error {
	for _, f := range m.glob(scsi, "scsi_disk/*/cache_type") {
		return writeAttribute(f, "temporary write through")
	}
	return nil
}

// RemoveLUN removes the LUN n, even if it is in use. It may be called for several
// LUNs at the same time.
func (l *Loopback) RemoveLUN(n int) error { return l.tree.removeLUN(n) }

// Close removes the disks, even if they are in use ([inuse.Of] finds the
// users), and then the target. It flushes each disk to its ring first, because
// the kernel would drop unwritten data. A second Close does nothing.
//
// Nothing can interrupt it. If a ring is not served, it waits for the command
// timeout of the Device, unless [Device.Reset] was called.
func (l *Loopback) Close() error { return l.tree.Close() }
