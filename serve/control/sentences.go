package control

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// Sentences returns the users of d, one sentence each: "/dev/sdb is mounted on
// /mnt". The users of a target reach all of its disks.
func (d *Disk) Sentences() (all []string) {
	for _, u := range d.Users {
		all = append(all, fmt.Sprintf("%s is %s", d.usedBy(u.Kind), u))
	}
	return all
}

// Sentence describes f and what it has done.
func (f Fault) Sentence() string {
	if f.Fired == 1 {
		return "1 fault by " + f.Rule
	}
	return fmt.Sprintf("%s faults by %s", humanize.Comma(int64(f.Fired)), f.Rule)
}

// Sentence describes what a power cut has taken.
func (o *Outage) Sentence() string {
	return fmt.Sprintf("%s that was not flushed is lost", humanize.IBytes(uint64(o.Lost)))
}

// usedBy returns the name by which users of this kind reach d.
func (d *Disk) usedBy(k inuse.Kind) string {
	switch k {
	case inuse.VM:
		return d.WWPN
	case inuse.Initiator:
		// iscsi://PORTAL/IQN/LUN
		if parts := strings.Split(d.URI, "/"); len(parts) == 5 {
			return parts[3]
		}
		return d.URI
	case inuse.Unknown:
		return cmp.Or(d.Device, d.WWPN)
	}
	return d.Device
}
