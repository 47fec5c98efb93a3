package configfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lunserve/lunserve/hint"
)

// A Loopback is a SCSI host of this machine, whose disks are LUNs of ours. It
// is not safe for concurrent use.
type Loopback struct {
	tree    *tree
	tpg     string // loopback/naa.…/tpgt_1
	address string // its place among the SCSI devices, H:C:T
	luns    []*lun
	flushed bool // its LUNs, one after the other
}

// A lun is a disk of a Loopback.
type lun struct {
	dev  *Device
	node string // "/dev/sdb"; empty until it has appeared
	err  error  // of its flush before the first LUN went
}

var errNotServed = errors.New("its ring is no longer served")

// NewLoopback makes a target without disks. The name wwn, as from [WWN], must be
// nobody else's: if it is, the error is [fs.ErrExist].
func NewLoopback(wwn string) (*Loopback, error) {
	return host.newLoopback(wwn)
}

func (m machine) newLoopback(wwn string) (*Loopback, error) {
	t := &tree{machine: m}
	target := "loopback/" + wwn
	l := &Loopback{tree: t, tpg: target + "/tpgt_1"}

	t.mkdirShared("loopback", target)
	t.mkdir(l.tpg)
	t.set(l.tpg+"/nexus", wwn)
	l.address = t.get(l.tpg + "/address")
	if t.err != nil {
		return nil, errors.Join(t.err, t.Close())
	}
	return l, nil
}

// AddLUN makes dev the disk with the number n, and returns its node, such as
// "/dev/sdb", when that exists and its partitions do too. Where udev runs, it
// has then finished with all of them, unless that takes it more than 10 s.
//
// The ring of dev must be served by others meanwhile: the kernel looks at the
// disk through it. A context that is done ends the wait for the node, but not
// the kernel's look; [Device.Reset] ends both. After an error the Loopback is
// good for Close only.
func (l *Loopback) AddLUN(ctx context.Context, n int, dev *Device) (disk string, err error) {
	t := l.tree
	folder := fmt.Sprintf("%s/lun/lun_%d", l.tpg, n)
	address := fmt.Sprintf("%s:%d", l.address, n)
	scsi := filepath.Join(t.sys, "bus/scsi/devices", address)

	// Before the link, which is what makes the kernel announce the disk.
	events, err := t.listen()
	if err != nil {
		return "", err
	}
	defer events.Close()

	t.mkdir(folder)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	forget := dev.onReset(func() error {
		cancel(errNotServed)
		return t.takeOffline(l.tpg, scsi)
	})
	// After the link is gone and before the target is, whose place among the
	// SCSI devices somebody else's may take.
	t.push(func() error { forget(); return nil })
	if t.err == nil && dev.wasReset() {
		// It was reset too early to be told of this LUN; the kernel would look
		// at the disk until its patience ends.
		t.err = fmt.Errorf("%s: %w", dev.UIO, errNotServed)
	}
	t.link(dev.name, folder+"/"+filepath.Base(dev.name))
	if t.err != nil {
		return "", t.err
	}
	x := &lun{dev: dev}
	l.luns = append(l.luns, x)
	t.push(func() error {
		l.flush()
		if dev.wasReset() {
			return t.markWriteThrough(scsi)
		}
		// Linux takes no more writes for a disk whose link goes; measured with
		// 6.1 and 6.12, all that was not flushed was lost.
		return cmp.Or(t.flush(x.node), x.err)
	})

	// The link is made whether or not the kernel found a disk behind it.
	if !exists(scsi) {
		t.err = hint.With(fmt.Errorf("%s: the kernel asked for a disk and found none", scsi), kernelLog)
		return "", t.err
	}
	x.node, t.err = t.waitForDisk(ctx, events, address)
	return x.node, t.err
}

// flush flushes all disks before the first of them goes. The others then hear
// that the LUNs have changed, which Linux takes for another medium of those that
// are removable: it drops what it has not written yet.
func (l *Loopback) flush() {
	if l.flushed {
		return
	}
	l.flushed = true
	for _, x := range l.luns {
		if !x.dev.wasReset() {
			x.err = l.tree.flush(x.node)
		}
	}
}

// offline has the kernel refuse what is asked of a disk, whose folder in sysfs
// is scsi, or of all disks of its target while it is not there.
func (t *tree) takeOffline(tpg, scsi string) error {
	if !exists(scsi) { // still being looked at, or it was found wanting
		return t.takeTargetOffline(tpg)
	}
	return writeAttribute(scsi+"/state", "offline\n")
}

// disconnect has the target refuse what the kernel asks of its disks.
func (t *tree) takeTargetOffline(tpg string) error {
	return t.op("write", tpg+"/transport_status", func(path string) error { return write(path, "offline") })
}

// uncache has the kernel think that a disk has no cache of its own. When the
// disk goes it flushes that, and would try to for minutes if nobody answers.
func (m machine) markWriteThrough(scsi string) error {
	for _, f := range m.glob(scsi, "scsi_disk/*/cache_type") {
		return writeAttribute(f, "temporary write through")
	}
	return nil
}

// Close takes the disks away from under whoever uses them ([inuse.Of] names them) and
// then the target. What was written to a disk is flushed to its ring first; the
// kernel would drop it. A second Close does nothing.
//
// Nothing can interrupt it: a ring that is not served makes it wait for as long
// as the devices' timeouts, unless their [Device.Reset] was called.
func (l *Loopback) Close() error { return l.tree.Close() }
