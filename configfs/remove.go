package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// Remove removes what a killed lunserve left: the LUNs of the export, the
// targets of that process, and the device. Users of the disk lose it, and
// commands in flight fail. It refuses while the export is served.
//
// It continues after errors and returns them all. It is idempotent.
func (e Export) Remove() error { return host.remove(e) }

func (m machine) remove(e Export) error {
	switch {
	case !m.runs(e.server):
		// The process may be in another PID namespace. But the kernel lets only
		// one process open a ring.
		ring, err := os.OpenFile(e.UIO, os.O_RDWR, 0)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s: %s is served by a process in another PID namespace", e.Name, e.UIO)
		}
		if err == nil {
			defer ring.Close() // and nobody else can open it now
		}
	case !m.isDying(e.server):
		return hint.With(fmt.Errorf("%s: served by lunserve (pid %d)", e.Name, e.PID),
			hint.Command{Words: []string{"lunserve", "detach", e.Name}, Purpose: "to end that if nobody uses its disks"})
	}
	return m.removeByForce(e)
}

// RemoveByForce is Remove for a process that knows that no other serves the
// export. It may do so itself: it must no longer rely on its ring.
func (e Export) RemoveByForce() error { return host.removeByForce(e) }

func (m machine) removeByForce(e Export) error {
	r := remover{tree: tree{machine: m}, export: e}
	luns := m.attachments(e.device)
	// In the order of Device.Reset, for the same reason. A disk that is being
	// removed cannot be taken offline, but its target can.
	for _, a := range luns {
		if strings.HasPrefix(a.lun, "loopback/") {
			if r.isOurs(a.target()) {
				r.note(r.takeTargetOffline(a.tpg()))
			}
			if err := r.takeOffline(a.tpg(), a.scsi); !errors.Is(err, unix.EINVAL) {
				r.note(err)
			}
		}
	}
	if e.UIO != "" {
		r.note(r.reset(e.device))
	}
	serial := r.serialOf(e.device)
	var down Undo
	down.Push(func() error {
		r.removeTargets(luns)
		r.rmdir(e.device)
		r.note(r.leaveShared(path.Dir(e.device)))
		r.removeReservations(serial)
		return nil
	})
	for _, a := range slices.Backward(luns) {
		x := remover{tree: tree{machine: m}, export: e}
		down.For(a.lun).Push(func() error {
			x.removeLUN(a)
			return errors.Join(x.errs...)
		})
	}
	err := down.Close()
	return errors.Join(append(r.errs, err)...)
}

// A remover undoes what another process made. It is not safe for concurrent use.
type remover struct {
	tree
	export Export
	errs   []error
}

// note keeps an error, unless something is gone already.
func (r *remover) note(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		r.errs = append(r.errs, err)
	}
}

func (r *remover) rmdir(name string) { r.note(r.op("rmdir", name, unix.Rmdir)) }

// unlink removes the links in a directory whose target ends in to.
func (r *remover) unlink(dir, to string) (found bool) {
	entries, _ := os.ReadDir(r.path(dir))
	for _, e := range entries {
		link := path.Join(dir, e.Name())
		if at, err := os.Readlink(r.path(link)); err == nil && strings.HasSuffix(at, to) {
			r.note(r.op("unlink", link, unix.Unlink))
			found = true
		}
	}
	return found
}

// isOurs reports whether the dead process made the target, or another one that
// was killed, perhaps while it adopted the disk, or this one, which gives up.
func (r *remover) isOurs(target string) bool {
	owner := r.ownerPID(target)
	return owner == r.export.PID || owner == r.self().pid || r.isAbandoned(target)
}

// removeLUN takes the device out of a target. It removes the LUN as well if the
// dead process made the target.
func (r *remover) removeLUN(a attachment) {
	if a.scsi != "" {
		r.note(r.markWriteThrough(a.scsi))
	}
	if !r.isOurs(a.target()) {
		r.unlink(a.lun, "/"+r.export.device)
		return
	}
	for _, acl := range r.children(a.tpg() + "/acls") {
		for _, mapped := range r.children(acl) {
			if r.unlink(mapped, "/"+a.lun) {
				r.rmdir(mapped)
			}
		}
	}
	r.unlink(a.lun, "/"+r.export.device)
	r.rmdir(a.lun)
}

// children returns the directories in a directory. For a fabric use targets.
func (r *remover) children(dir string) (dirs []string) {
	for _, name := range subdirs(r.path(dir)) {
		dirs = append(dirs, path.Join(dir, name))
	}
	return dirs
}

// targets returns the directories of a fabric that were made with mkdir. The kernel has made
// discovery_auth, in each fabric.
func (r *remover) targets(fabric string) []string {
	return slices.DeleteFunc(r.children(fabric), func(name string) bool { return path.Base(name) == "discovery_auth" })
}

// removeTargets removes the targets of the dead process that have no LUN. It
// may have been killed while it made or removed them.
//
// If a living process has the same id by now, its targets look the same. Then
// only targets that this remover has just emptied are removed. A process that
// gives up removes its own as well.
func (r *remover) removeTargets(emptied []attachment) {
	exports, _ := r.exports()
	reused := slices.ContainsFunc(exports, func(e Export) bool { return e.Alive && e.PID == r.export.PID })
	reused = reused && !(r.export.Alive && r.export.PID == r.self().pid)
	for _, fabric := range r.children("") {
		if !r.isShared(fabric) {
			continue
		}
		for _, target := range r.targets(fabric) {
			was := slices.ContainsFunc(emptied, func(a attachment) bool { return a.target() == target })
			if was && r.isOurs(target) || !reused && r.ownerPID(target) == r.export.PID {
				r.removeTarget(target)
			}
		}
		r.note(r.leaveShared(fabric))
	}
}

// removeTarget removes a target unless it has other LUNs.
func (r *remover) removeTarget(target string) {
	for _, tpg := range r.children(target) {
		if !strings.HasPrefix(path.Base(tpg), "tpgt_") {
			continue
		}
		luns := r.children(tpg + "/lun")
		if slices.ContainsFunc(luns, func(lun string) bool { return r.deviceOf(r.path(lun)) != "" }) {
			return
		}
		if enable := tpg + "/enable"; exists(r.path(enable)) { // only iSCSI
			r.note(r.op("write", enable, func(path string) error { return write(path, "0") }))
		}
		for _, acl := range r.children(tpg + "/acls") {
			for _, mapped := range r.children(acl) {
				if strings.HasPrefix(path.Base(mapped), "lun_") {
					r.rmdir(mapped)
				}
			}
			r.rmdir(acl)
		}
		for _, name := range append(luns, r.children(tpg+"/np")...) {
			r.rmdir(name)
		}
		err := r.op("rmdir", tpg, unix.Rmdir)
		if errors.Is(err, unix.EBUSY) && strings.HasPrefix(target, "vhost/") {
			r.note(heldError(path.Base(target), tpg, r.path("")))
			return
		}
		r.note(err)
	}
	r.rmdir(target)
}

// removeReservations removes the place for persistent reservations, unless
// another lunserve serves the same image by now. Making the place again finds
// what is there, and Close removes it.
func (r *remover) removeReservations(serial string) {
	if serial == "" {
		return
	}
	exports, _ := r.exports()
	if slices.ContainsFunc(exports, func(e Export) bool { return e.Serial == serial }) {
		return
	}
	if kept, err := r.keepReservations(serial); err == nil {
		r.note(kept.Close())
	}
}
