package scsi

import (
	"encoding/binary"
	"math"
	"slices"
)

// A logPage is a log page without its header.
type logPage struct {
	code byte
	name string
	body func(*Disk) ([]byte, error)
}

// logPages returns the log pages of this disk in ascending order.
func (d *Disk) logPages() []logPage {
	pages := []logPage{{0x00, "supported log pages", (*Disk).supportedLogs}}
	if d.has&thin != 0 {
		pages = append(pages, logPage{0x0c, "logical block provisioning", (*Disk).provisioningLog})
	}
	return append(pages, logPage{0x19, "general statistics and performance", (*Disk).statisticsLog})
}

// logSense is SPC-5, LOG SENSE command. All values are cumulative;
// thresholds are not supported.
func (d *Disk) logSense(r request) (int, error) {
	const cumulative = 1
	code, subpage := r.cdb[2]&0x3f, r.cdb[3]
	if control := r.cdb[2] >> 6; control != cumulative && code != 0 {
		return 0, badField(2, 7)
	}
	if binary.BigEndian.Uint16(r.cdb[5:]) != 0 {
		return 0, badField(5, -1) // PARAMETER POINTER
	}
	for _, p := range d.logPages() {
		if p.code != code {
			continue
		}
		var body []byte
		var err error
		switch {
		case subpage == 0:
			body, err = p.body(d)
		case subpage == 0xff && code == 0:
			for _, p := range d.logPages() {
				body = append(body, p.code, 0)
			}
			body = append(body[:2:2], append([]byte{0, 0xff}, body[2:]...)...)
		default:
			return 0, badField(3, -1)
		}
		if err != nil {
			return 0, err
		}
		page := []byte{code, subpage, 0, 0}
		if subpage != 0 {
			page[0] |= 0x40 // SPF
		}
		binary.BigEndian.PutUint16(page[2:], uint16(len(body)))
		return r.reply(append(page, body...), int(binary.BigEndian.Uint16(r.cdb[7:])))
	}
	return 0, badField(2, 5)
}

// supportedLogs is SPC-5, Supported Log Pages log page.
func (d *Disk) supportedLogs() (b []byte, err error) {
	for _, p := range d.logPages() {
		b = append(b, p.code)
	}
	return b, nil
}

// parameter encodes a log parameter in binary format that the unit updates.
func parameter(code uint16, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, code)
	b = append(b, 0x03, byte(len(value)))
	return append(b, value...)
}

// provisioningLog is SBC-4, Logical Block Provisioning log page: the number of
// mapped blocks, as an estimate if there are many extents: the rest of the disk is
// taken to be mapped in the same proportion. The threshold set size is one block.
func (d *Disk) provisioningLog() ([]byte, error) {
	used, end := uint64(0), d.blocks.Load()
	lba, extents := uint64(0), maxExtents
	for lba < end && extents > 0 {
		n, mapped, err := d.statusRun(lba, end, &extents)
		if err != nil {
			return nil, err
		}
		if mapped {
			used += n
		}
		lba += n
	}
	if lba < end {
		used += uint64(float64(used) / float64(lba) * float64(end-lba))
	}
	value := binary.BigEndian.AppendUint32(nil, uint32(min(used, math.MaxUint32)))
	return parameter(0x0002, append(value, 0x01, 0, 0, 0)), nil // SCOPE: this logical unit
}

// statisticsLog is SPC-5, General Statistics and Performance log page.
func (d *Disk) statisticsLog() ([]byte, error) {
	s := d.Stats()
	var value []byte
	for _, n := range []uint64{
		s.Reads, s.Writes, s.WrittenBytes / uint64(d.BlockSize), s.ReadBytes / uint64(d.BlockSize),
		0, 0, 0, 0, // processing intervals: not measured
	} {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	// The page also has the idle time and the time interval: not measured.
	none := make([]byte, 8)
	return slices.Concat(parameter(0x0001, value), parameter(0x0002, none), parameter(0x0003, none)), nil
}
