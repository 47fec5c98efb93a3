package scsi

import (
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
)

// A mode holds the bits that MODE SELECT can change. All initiators share them,
// as the ring does not identify initiators; no unit attention reports a change.
type mode struct {
	writeThrough    atomic.Bool // WCE is zero: completed writes are durable
	descriptorSense atomic.Bool // D_SENSE
	softwareProtect atomic.Bool // SWP

	selecting sync.Mutex // held by MODE SELECT, a read-modify-write of the pages
}

// A modePage is a mode page with its header: the current and default values, and
// the mask of changeable bits.
type modePage struct {
	name                         string
	current, initial, changeable []byte
}

// The codes of mode pages.
const (
	recoveryPage     = 0x01
	cachingPage      = 0x08
	controlPage      = 0x0a
	capabilitiesPage = 0x2a
)

// pageOf returns the page with a code, or nil.
func pageOf(pages []modePage, code byte) *modePage {
	for i := range pages {
		if pages[i].current[0] == code {
			return &pages[i]
		}
	}
	return nil
}

// The changeable bits of mode pages.
const (
	cachingWCE    = 0x04 // byte 2 of the Caching mode page
	controlDSense = 0x04 // byte 2 of the Control mode page
	controlSWP    = 0x08 // byte 4 of the Control mode page
)

// cached reports whether the disk has a volatile write cache, which initiators may turn
// off.
func (d *Disk) cached() bool { return d.has&writable != 0 && !d.WriteThrough }

// modePages returns the pages of this disk in ascending order.
func (d *Disk) modePages() []modePage {
	// SPC-5, Control mode page: unrestricted reordering, no limit of the busy
	// timeout.
	control := [12]byte{0: controlPage, 1: 10, 3: 0x10, 8: 0xff, 9: 0xff}
	controlMask := [12]byte{0: controlPage, 1: 10, 2: controlDSense, 4: controlSWP}
	controlNow := control
	if d.mode.descriptorSense.Load() {
		controlNow[2] |= controlDSense
	}
	if d.mode.softwareProtect.Load() {
		controlNow[4] |= controlSWP
	}
	controls := modePage{"control", controlNow[:], control[:], controlMask[:]}
	if d.has&multimedia != 0 {
		return []modePage{d.recoveryMode(), controls, d.capabilitiesMode()}
	}
	return []modePage{d.cachingMode(), controls}
}

// cachingMode is SBC-4, Caching mode page. With WCE a write is durable only after
// SYNCHRONIZE CACHE.
func (d *Disk) cachingMode() modePage {
	caching := [20]byte{0: cachingPage, 1: 18}
	cached, cachingMask := caching, caching
	if d.cached() {
		cached[2] = cachingWCE
		cachingMask[2] = cachingWCE
	}
	now := cached
	if d.mode.writeThrough.Load() {
		now[2] = 0
	}
	return modePage{"caching", now[:], cached[:], cachingMask[:]}
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
		if subpage != 0 && subpage != 0xff {
			return 0, badField(3, -1)
		}
		switch control {
		case current:
			pages = append(pages, p.current...)
		case changeable:
			pages = append(pages, p.changeable...)
		default:
			pages = append(pages, p.initial...)
		}
	}
	if pages == nil {
		return 0, badField(2, 5)
	}

	var descriptor []byte
	longLBA := long && r.flag(0x10) // LLBAA
	var specific byte
	if d.has&directAccess != 0 { // MMC-6 has neither descriptors nor the parameter
		if r.cdb[1]&0x08 == 0 { // DBD
			descriptor = d.blockDescriptor(longLBA)
		}
		specific = 0x10 // DPOFUA
		if d.writeProtection() != nil {
			specific |= 0x80 // WP
		}
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
	blocks := d.blocks.Load()
	if long {
		b := make([]byte, 16)
		binary.BigEndian.PutUint64(b, blocks)
		binary.BigEndian.PutUint32(b[12:], uint32(d.BlockSize))
		return b
	}
	b := make([]byte, 8)
	binary.BigEndian.PutUint32(b, uint32(min(blocks, math.MaxUint32)))
	binary.BigEndian.PutUint32(b[4:], uint32(d.BlockSize)) // the high byte is reserved
	return b
}
