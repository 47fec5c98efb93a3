package serve

import (
	"slices"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/serve/control"
)

// A once finds out that the disks have had users and have none any more, see
// Options.Once.
type once struct {
	seen bool
	gone int // looks in a row without users
}

// onceLooks is how many looks in a row find no user when the last has gone. An
// initiator may log in again at once.
const onceLooks = 2

// look takes what there is each second, and reports whether the last user has gone. A
// process that has a local disk open is not the first user: udev and others look at each
// new disk. But nothing ends while there is one.
// Where there is no local disk, a read or a write shows that there was one, even if the
// session was over before this look.
func (o *once) look(disks []control.Disk) bool {
	stays, used, moved := false, false, uint64(0)
	for _, d := range disks {
		used = used || len(d.Users) > 0
		stays = stays || slices.ContainsFunc(d.Users, func(u inuse.User) bool {
			return u.Kind != inuse.OpenedBy && u.Kind != inuse.Unknown && u != inuse.User{Kind: inuse.Kernel}
		})
		if d.Device == "" {
			moved += d.Done.Reads + d.Done.Writes
		}
	}
	if o.gone++; stays {
		o.gone = 0
	}
	o.seen = o.seen || stays || moved > 0
	return o.seen && o.gone >= onceLooks && !used
}
