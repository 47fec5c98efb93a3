package serve

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
)

// OpenPortals returns the portals at which other machines log in without
// authentication, whatever their names.
func (o *ISCSI) OpenPortals() []netip.AddrPort {
	if len(o.Allow) > 0 {
		return nil
	}
	return o.reachable()
}

// reachable returns the portals at which other machines log in without
// authentication.
func (o *ISCSI) reachable() []netip.AddrPort {
	if o.CHAPFile != "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.Portals), func(p netip.AddrPort) bool { return p.Addr().IsLoopback() })
}

// Access says what an initiator can do.
func Access(readOnly bool) string {
	if readOnly {
		return "read the disk"
	}
	return "read and write the disk"
}

// warnOfOthers returns a warning for each portal at which other machines log in
// without authentication.
func (o *ISCSI) warnOfOthers(readOnly bool) (all []error) {
	for _, p := range o.reachable() {
		err := fmt.Errorf("every machine that reaches %s can %s: there is no authentication", p, Access(readOnly))
		if len(o.Allow) > 0 {
			err = hint.Try(fmt.Errorf("every machine that reaches %s can claim an allowed name, and %s", p, Access(readOnly)), "--chap-file", "FILE")
		}
		all = append(all, err)
	}
	return all
}

// warnOfUsers returns a warning if the users of this machine, who can log in at
// its loopback addresses without authentication, thereby get what the mode of an
// image refuses to them. It returns nil if even other machines can.
func (o *ISCSI) warnOfUsers(disks []*disk, readOnly bool) error {
	if o.CHAPFile != "" || len(o.reachable()) > 0 {
		return nil
	}
	for _, d := range disks {
		if file, mode := d.image.stricter(); file != "" {
			return hint.Try(fmt.Errorf("every user of this machine can %s at %s, though %s has mode %04o", Access(readOnly), o.Portals[0], file, mode),
				"--chap-file", "FILE")
		}
	}
	return nil
}

// stricter returns a file of the image whose mode refuses to other users what
// initiators are allowed, or "".
func (i *openedImage) stricter() (file string, mode os.FileMode) {
	const read, write = 0o004, 0o002
	if i.scratch {
		return "", 0
	}
	needs := map[string]os.FileMode{i.path: read, i.overlay: read}
	switch i.writes {
	case control.InPlace:
		needs[i.path] |= write
	case control.Overlay:
		needs[i.overlay] |= write
	}
	for _, file := range []string{i.path, i.overlay} {
		if fi, err := os.Stat(file); err == nil && fi.Mode()&needs[file] != needs[file] {
			return file, fi.Mode().Perm()
		}
	}
	return "", 0
}
