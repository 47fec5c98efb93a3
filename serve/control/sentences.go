package control

import (
	"cmp"
	"fmt"
	"strings"

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
