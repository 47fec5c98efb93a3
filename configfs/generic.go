package configfs

import "path/filepath"

// Generic returns the SCSI generic node of a disk, such as "/dev/sdb", which
// accepts any SCSI command. It returns "" if the kernel has none: that takes
// the module sg.
func Generic(disk string) string { return host.generic(filepath.Base(disk)) }

func (m machine) generic(disk string) string {
	for _, dir := range m.glob(m.sys, "class/block", disk, "device/scsi_generic/*") {
		return filepath.Join(m.dev, filepath.Base(dir))
	}
	return ""
}
