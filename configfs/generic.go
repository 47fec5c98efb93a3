package configfs

import "path/filepath"

// Generic is the node by which a disk, such as "/dev/sdb", is sent any SCSI
// command; empty if the kernel has none for it, which needs its module sg.
func Generic(disk string) string { return host.generic(filepath.Base(disk)) }

func (m machine) generic(disk string) string {
	for _, dir := range m.glob(m.sys, "class/block", disk, "device/scsi_generic/*") {
		return filepath.Join(m.dev, filepath.Base(dir))
	}
	return ""
}
