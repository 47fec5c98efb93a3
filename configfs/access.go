package configfs

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// An Access is what the kernel knows of one LUN of an export, whether its server
// runs or not: how initiators reach it, and who they are.
type Access struct {
	LUN
	Portals    []netip.AddrPort // of an iSCSI target
	Initiators []string         // logged in to an iSCSI target
	Machines   []inuse.Process  // that use a vhost target
}

// Access returns the state of the LUNs.
func (e Export) Access() []Access { return host.access(e.device) }

func (m machine) access(device string) (all []Access) {
	for _, a := range m.attachments(device) {
		x := Access{LUN: a.place()}
		switch x.Fabric {
		case "iscsi":
			for _, np := range subdirs((&tree{machine: m}).path(a.tpg() + "/np")) {
				if p, err := netip.ParseAddrPort(np); err == nil {
					x.Portals = append(x.Portals, p)
				}
			}
			slices.SortFunc(x.Portals, netip.AddrPort.Compare)
			x.Initiators = m.initiators(a.tpg())
		case "vhost":
			x.Machines = m.machines(strings.TrimPrefix(a.target(), "vhost/"))
		}
		all = append(all, x)
	}
	return all
}
