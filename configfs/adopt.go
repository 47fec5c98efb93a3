package configfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// Adoption: a process takes over the objects of a dead one, and the users of its
// disks notice nothing. It runs the same code that makes the objects, on a tree
// that adopts: what exists already is joined, and removed at the end as if the
// process had made it. What is another process's is an error, and stays.
//
// The process that adopts must have opened the ring. The kernel lets one process do that,
// and only when the dead one is done with it, even with its last thread.

// WaitForKilled waits until the servers of disks that are being killed have
// ended, for a limited time. Until then they hold locks and rings.
func WaitForKilled(ctx context.Context, limit time.Duration) { host.waitForKilled(ctx, limit) }

func (m machine) waitForKilled(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	dying := func(e Export) bool { return !e.Alive && !m.hasEnded(e.server) }
	for {
		if list, err := m.exports(); err != nil || !slices.ContainsFunc(list, dying) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// AdoptDevice makes the device of an export one of this program. The server of the
// export is dead, or was the program that this process executed before. The caller has
// its ring, and calls [Device.Sign] when it is served. The users of the export's LUNs
// stay, if their targets are adopted.
func AdoptDevice(e Export, s Spec) *Device { return host.adoptDevice(e, s) }

func (m machine) adoptDevice(e Export, s Spec) *Device {
	t := &tree{machine: m, adopting: true}
	hba := path.Dir(e.device)
	for _, name := range []string{hba, e.device} {
		t.push(func() error { return t.leaveShared(name) }) // if its LUNs were adopted, too
	}
	return &Device{tree: t, name: e.device, UIO: e.UIO, spec: s}
}

// Requeue takes all commands off the ring and has their initiators send them
// again. The ring must not be served. The kernel completes commands that were
// answered, and that the kernel has been told of.
func (d *Device) Requeue() error {
	name := d.name + "/action/reset_ring"
	return d.tree.op("write", name, func(path string) error { return write(path, "1") })
}

// Sign makes this process the server of an adopted device, whose ring it serves.
func (d *Device) Sign() error {
	t := d.tree
	t.setMark(d.name, d.spec)
	t.set(d.name+"/udev_path", atMost(511, hint.Visible(d.spec.Image)))
	if t.err == nil { // in case that a removal has begun
		err := t.op("write", d.name+"/action/block_dev", func(path string) error { return write(path, "0") })
		if !errors.Is(err, fs.ErrNotExist) {
			t.err = err
		}
	}
	return t.err
}

// isAbandoned reports whether a lunserve that no longer runs made a target, or the
// program that this process executed before.
func (t *tree) isAbandoned(target string) bool {
	owner := t.ownerPID(target)
	if owner == 0 {
		return false
	}
	if owner == t.self().pid {
		return true
	}
	exports, err := t.exports()
	return err == nil && !slices.ContainsFunc(exports, func(e Export) bool { return e.Alive && e.PID == owner })
}

// adopts reports whether an operation of an adopting tree found what it would
// have made.
func (t *tree) adopts(err error) bool { return t.adopting && errors.Is(err, fs.ErrExist) }

// linksTo reports whether a link in configfs leads to a directory.
func (t *tree) linksTo(link, to string) bool {
	a, err1 := os.Stat(t.path(link))
	b, err2 := os.Stat(t.path(to))
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// fail returns the error of a constructor. What it made is removed, and what it
// adopted stays.
func (t *tree) fail() error {
	if t.adopting {
		return t.err
	}
	return errors.Join(t.err, t.Close())
}

// Sweep removes the targets without disks that the dead server of an export left.
func (e Export) Sweep() error {
	r := remover{tree: tree{machine: host}, export: e}
	r.removeTargets(nil)
	return errors.Join(r.errs...)
}
