package serve

import (
	"testing"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/serve/control"
)

func TestOnceEndsAfterTheLastUser(t *testing.T) {
	initiator, mount, process := inuse.User{Kind: inuse.Initiator, Where: "iqn"}, inuse.User{Kind: inuse.Mount, Where: "/mnt"}, inuse.User{Kind: inuse.OpenedBy, PID: 7}
	idle, read := control.Disk{}, control.Disk{Done: control.Stats{Reads: 1}}
	local := control.Disk{Device: "/dev/sdb", Done: control.Stats{Reads: 100}}
	used := func(d control.Disk, u inuse.User) control.Disk { d.Users = []inuse.User{u}; return d }
	for name, tt := range map[string]struct {
		looks []control.Disk
		ends  int // with this look, or 0
	}{
		"nobody has come":              {[]control.Disk{idle, idle, idle, idle}, 0},
		"an initiator":                 {[]control.Disk{idle, used(idle, initiator), used(read, initiator), idle, idle, idle}, 5},
		"an initiator comes again":     {[]control.Disk{used(idle, initiator), idle, used(idle, initiator), idle, idle}, 5},
		"a session between two looks":  {[]control.Disk{idle, read}, 2},
		"a mount":                      {[]control.Disk{local, used(local, mount), used(local, process), local}, 4},
		"a process after a mount":      {[]control.Disk{used(local, mount), used(local, process), used(local, process), used(local, process), local}, 5},
		"a guard that does not answer": {[]control.Disk{used(idle, inuse.User{Kind: inuse.Unknown}), idle, idle, idle}, 0},
		"udev looks at a local disk":   {[]control.Disk{used(local, process), local, local}, 0},
	} {
		var o once
		for n, d := range tt.looks {
			if ends := o.look([]control.Disk{d}); ends != (n+1 == tt.ends) {
				t.Errorf("%s: look %d: ends %v", name, n+1, ends)
			}
			if n+1 == tt.ends {
				break
			}
		}
	}
}
