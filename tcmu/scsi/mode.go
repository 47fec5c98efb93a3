package scsi

import (
	"encoding/binary"
	"math"
)

// A modePage is a mode page with its header: what it holds now and by default,
// and which bits of it a MODE SELECT may change.
type modePage struct {
	current    []byte
	changeable []byte
}

// modePages are the pages of this disk, in ascending order, as MODE SENSE
// returns them when it is asked for all.
func (d *Disk) modePages() []modePage {
	caching := make([]byte, 20) // SBC-4, Caching mode page
	caching[0], caching[1] = 0x08, 18
	if d.has&writable != 0 {
		caching[2] = 0x04 // WCE: a write is durable only after SYNCHRONIZE CACHE
	}
	control := make([]byte, 12) // SPC-5, Control mode page
	control[0], control[1] = 0x0a, 10
	control[3] = 0x10                                       // unrestricted reordering
	binary.BigEndian.PutUint16(control[8:], math.MaxUint16) // busy timeout: unlimited
	return []modePage{
		{caching, make([]byte, len(caching)-2)},
		{control, make([]byte, len(control)-2)},
	}
}

// modeSense is SPC-5, MODE SENSE (6) and (10) command.
func (d *Disk) modeSense(r request) (int, error) {
	long := len(r.cdb) == 10
	const current, changeable, saved = 0, 1, 3
	control, code, subpage := r.cdb[2]>>6, r.cdb[2]&0x3f, r.cdb[3]
	if control == saved {
		return 0, savingUnsupported
	}
	var pages []byte
	for _, p := range d.modePages() {
		if code != 0x3f && code != p.current[0] {
			continue
		}
		if subpage != 0 && (code != 0x3f || subpage != 0xff) {
			return 0, badField(3, -1)
		}
		if control == changeable {
			pages = append(append(pages, p.current[:2]...), p.changeable...)
		} else {
			pages = append(pages, p.current...)
		}
	}
	if pages == nil {
		return 0, badField(2, 5)
	}

	var descriptor []byte
	longLBA := long && r.flag(0x10) // LLBAA
	if r.cdb[1]&0x08 == 0 {         // DBD
		descriptor = d.blockDescriptor(longLBA)
	}
	var specific byte = 0x10 // DPOFUA
	if d.has&writable == 0 {
		specific |= 0x80 // WP
	}
	if !long {
		header := []byte{byte(3 + len(descriptor) + len(pages)), 0, specific, byte(len(descriptor))}
		return r.reply(append(append(header, descriptor...), pages...), int(r.cdb[4]))
	}
	header := make([]byte, 8)
	binary.BigEndian.PutUint16(header, uint16(6+len(descriptor)+len(pages)))
	header[3] = specific
	if longLBA {
		header[4] = 1
	}
	binary.BigEndian.PutUint16(header[6:], uint16(len(descriptor)))
	return r.reply(append(append(header, descriptor...), pages...), int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// blockDescriptor is SBC-4, Mode parameter block descriptors.
func (d *Disk) blockDescriptor(long bool) []byte {
	if long {
		b := make([]byte, 16)
		binary.BigEndian.PutUint64(b, d.blocks)
		binary.BigEndian.PutUint32(b[12:], uint32(d.BlockSize))
		return b
	}
	b := make([]byte, 8)
	binary.BigEndian.PutUint32(b, uint32(min(d.blocks, math.MaxUint32)))
	binary.BigEndian.PutUint32(b[4:], uint32(d.BlockSize)) // its high byte is reserved, and zero
	return b
}
