package scsi

import "fmt"

// Describe says in words what a CDB asks of the disk: the command's name, and
// its fields.
func (d *Disk) Describe(cdb []byte, data [][]byte) (name, what string) {
	row, err := d.find(cdb)
	if err != nil {
		return "unknown", fmt.Sprintf("% x", cdb)
	}
	return row.name, fmt.Sprintf("% x", cdb[1:len(row.usage)])
}
