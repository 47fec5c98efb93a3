package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove takes away what a lunserve left that was killed: the LUNs that the
// export is, the targets that were made for it, and the device. What is used is
// taken from under its users, and commands that nobody has answered end in
// errors. It refuses while the export is served.
//
// It goes on to the end, and tells what could not go. What is gone already is
// no error.
func (e Export) Remove() error { return here.remove(e) }

func (m machine) remove(e Export) error {
	switch {
	case !m.runs(e.server):
		// Process ids are not the same in every container, but the kernel lets
		// nobody open a ring that another has open.
		ring, err := os.OpenFile(e.UIO, os.O_RDWR, 0)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s: %s is served by a process that cannot be seen from here", e.Name, e.UIO)
		}
		if err == nil {
			defer ring.Close() // nor anybody else from here on
		}
	case !m.isDying(e.server):
		return fmt.Errorf("%s: served by lunserve (pid %d); try kill %[2]d", e.Name, e.PID)
	}
	r := removal{tree: tree{machine: m}, device: e.device}
	targets := m.targets(e.device)
	// As in Device.Reset, and for the same reason in this order.
	for _, target := range targets {
		if target.Fabric == "loopback" {
			r.note(r.offline(target.tpg(), target.scsi))
		}
	}
	if e.UIO != "" {
		r.note(r.reset(e.device))
	}
	serial, _ := attribute(r.path(e.device), "wwn/vpd_unit_serial")
	for _, target := range targets {
		r.target(target)
	}
	r.rmdir(e.device)
	r.note(r.leave(path.Dir(e.device)))
	r.reservations(serial)
	return errors.Join(r.errs...)
}

// A removal undoes what another process has done.
type removal struct {
	tree
	device string
	errs   []error
}

// note keeps an error, unless it is that something is gone.
func (r *removal) note(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		r.errs = append(r.errs, err)
	}
}

func (r *removal) rmdir(name string)  { r.note(r.op("rmdir", name, unix.Rmdir)) }
func (r *removal) unlink(name string) { r.note(r.op("unlink", name, unix.Unlink)) }

// target takes the device's LUN out of a target, and the target away if it has
// no other. A link that has not the name that lunserve gives it is somebody
// else's, and so is all that it is in.
func (r *removal) target(t Target) {
	tpg, lun := t.tpg(), path.Dir(t.link)
	ours := path.Base(t.link) == path.Base(r.device)
	last := ours && len(r.linked(tpg)) == 1

	if t.scsi != "" {
		r.note(r.uncache(t.scsi))
	}
	if enable := tpg + "/enable"; last && exists(r.path(enable)) { // of iSCSI alone
		r.note(r.op("write", enable, func(path string) error { return write(path, "0") }))
	}
	for _, acl := range children(r.path(tpg + "/acls")) {
		acl = path.Join(tpg, "acls", acl)
		r.unmap(acl, lun, last)
		if last {
			r.rmdir(acl)
		}
	}
	r.unlink(t.link)
	switch {
	case last:
		for _, name := range children(r.path(tpg + "/lun")) {
			r.rmdir(path.Join(tpg, "lun", name))
		}
	case ours:
		r.rmdir(lun)
		return
	default:
		return
	}
	for _, portal := range t.Portals {
		r.rmdir(path.Join(tpg, "np", portal))
	}
	switch err := r.op("rmdir", tpg, unix.Rmdir); {
	case errors.Is(err, unix.EBUSY) && t.Fabric == "vhost":
		r.note(held(t.Name, tpg, r.path("")))
		return
	default:
		r.note(err)
	}
	r.rmdir(path.Dir(tpg))
	if r.isShared(t.Fabric) {
		r.note(r.leave(t.Fabric))
	}
}

// linked are the LUNs of a target that have a device.
func (r *removal) linked(tpg string) (luns []string) {
	for _, name := range children(r.path(tpg + "/lun")) {
		entries, _ := os.ReadDir(r.path(path.Join(tpg, "lun", name)))
		for _, e := range entries {
			if e.Type() == fs.ModeSymlink {
				luns = append(luns, name)
			}
		}
	}
	return luns
}

// unmap takes what an initiator sees a LUN by out of its ACL, or all of them.
func (r *removal) unmap(acl, lun string, all bool) {
	for _, name := range children(r.path(acl)) {
		if !strings.HasPrefix(name, "lun_") {
			continue
		}
		mapped, found := path.Join(acl, name), all
		entries, _ := os.ReadDir(r.path(mapped))
		for _, e := range entries {
			link := path.Join(mapped, e.Name())
			if to, err := os.Readlink(r.path(link)); err == nil && (all || strings.HasSuffix(to, "/"+lun)) {
				r.unlink(link)
				found = true
			}
		}
		if found {
			r.rmdir(mapped)
		}
	}
}

// reservations takes away the place of the device's, unless another lunserve
// serves the same image by now. Making it once more finds what is there.
func (r *removal) reservations(serial string) {
	_, serial, _ = strings.Cut(serial, ": ") // the kernel says what it is
	if serial == "" {
		return
	}
	for _, other := range r.glob(r.path("core"), "user_*", prefix+"*", "wwn/vpd_unit_serial") {
		if text, _ := attribute(other); strings.HasSuffix(text, ": "+serial) {
			return
		}
	}
	if kept, err := r.keepReservations(serial); err == nil {
		r.note(kept.Close())
	}
}
