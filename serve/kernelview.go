package serve

import (
	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// KernelView returns a disk and its users as the kernel shows them, without the
// process that serves it: that was killed, or does not answer.
func KernelView(e configfs.Export) control.Disk {
	d := control.Disk{Name: e.Name, Image: e.Image, Size: e.Size, PID: e.PID, Dead: !e.Alive}
	if len(e.Nodes) > 0 {
		d.Device = e.Nodes[0]
		d.Users = inuse.Of(d.Device)
	}
	for _, l := range e.Access() {
		switch {
		case l.Fabric == "iscsi" && len(l.Portals) > 0:
			d.URI = iscsiAddress(l.Portals[0], l.Target, l.Number).uri()
		case l.Fabric == "vhost":
			d.WWPN = l.Target
		}
		d.Users = append(d.Users, initiatorUsers(l.Initiators)...)
		d.Users = append(d.Users, inuse.Machines(l.Machines)...)
	}
	return d
}
