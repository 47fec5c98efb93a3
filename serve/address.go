package serve

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lunserve/lunserve/configfs"
)

// An address is how initiators reach a disk. Fields of fabrics that are not
// used are empty.
type address struct {
	node        string // such as /dev/sdb
	portal, iqn string // of the iSCSI target
	wwpn        string // of the vhost target
	lun         int    // of every target
}

// and returns a with the fields that are set in b.
func (a address) and(b address) address {
	return address{cmp.Or(b.node, a.node), cmp.Or(b.portal, a.portal), cmp.Or(b.iqn, a.iqn), cmp.Or(b.wwpn, a.wwpn), b.lun}
}

// uri returns the address in the form that libiscsi and QEMU accept, or ""
// without iSCSI.
func (a address) uri() string {
	if a.iqn == "" {
		return ""
	}
	return fmt.Sprintf("iscsi://%s/%s/%d", a.portal, a.iqn, a.lun)
}

// generic returns the sg node, or "" if there is none.
func (a address) generic() string {
	if a.node == "" {
		return ""
	}
	return configfs.Generic(a.node)
}

// lines returns the lines for standard output: all nodes, or where the file system is
// mounted, then all URIs, then the WWPN.
func lines(disks []*disk) (all []string) {
	for _, part := range []func(*disk) string{
		func(d *disk) string { return cmp.Or(d.mounted, d.address.node) },
		func(d *disk) string { return d.address.uri() },
		func(d *disk) string { return d.address.wwpn },
	} {
		for _, d := range disks {
			if line := part(d); line != "" && !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	return all
}
