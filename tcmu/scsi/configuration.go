package scsi

import "encoding/binary"

// Profiles of MMC-6, Profile List.
const (
	profileCD  = 0x0008
	profileDVD = 0x0010
)

// profile returns the current profile, or 0 without a disc.
func (d *Disk) profile() uint16 {
	d.medium.mu.Lock()
	defer d.medium.mu.Unlock()
	switch {
	case d.medium.ejected:
		return 0
	case d.blocks.Load() <= longestCD:
		return profileCD
	}
	return profileDVD
}

// A feature of a drive is a feature descriptor of MMC-6.
type feature struct {
	code    uint16
	version byte
	now     bool // current
	lasting bool // always current
	data    []byte
}

func (d *Disk) features() []feature {
	profile := d.profile()
	profiles := []byte{0, profileDVD, 0, 0, 0, profileCD, 0, 0}
	for i := 0; i < len(profiles); i += 4 {
		if binary.BigEndian.Uint16(profiles[i:]) == profile {
			profiles[i+2] = 1 // current
		}
	}
	const scsi = 1
	blocking := byte(1) // blocks that are read at once
	if profile == profileDVD {
		blocking = 16
	}
	return []feature{
		{0x0000, 0, true, true, profiles},                                                                            // Profile List
		{0x0001, 2, true, true, []byte{0, 0, 0, scsi, 0, 0, 0, 0}},                                                   // Core
		{0x0002, 1, true, true, []byte{0, 0, 0, 0}},                                                                  // Morphing: nothing to be told of
		{0x0003, 1, true, true, []byte{0x39, 0, 0, 0}},                                                               // Removable Medium: tray, load, eject, lock
		{0x0010, 0, profile != 0, false, []byte{0, 0, byte(d.BlockSize >> 8), byte(d.BlockSize), 0, blocking, 1, 0}}, // Random Readable; PP
	}
}

// getConfiguration is MMC-6, GET CONFIGURATION Command.
func (d *Disk) getConfiguration(r request) (int, error) {
	const all, current, one = 0, 1, 2
	which, from := r.cdb[1]&3, binary.BigEndian.Uint16(r.cdb[2:])
	if which > one {
		return 0, badField(1, 1)
	}
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b[6:], d.profile())
	for _, f := range d.features() {
		if f.code < from || which == one && f.code != from || which == current && !f.now {
			continue
		}
		flags := f.version << 2
		if f.lasting {
			flags |= 0x02
		}
		if f.now {
			flags |= 0x01
		}
		b = binary.BigEndian.AppendUint16(b, f.code)
		b = append(b, flags, byte(len(f.data)))
		b = append(b, f.data...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return r.reply(b, int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// recoveryMode is MMC-6, Read/Write Error Recovery mode page: nothing is changeable.
func (d *Disk) recoveryMode() modePage {
	page := [12]byte{0: recoveryPage, 1: 10}
	return modePage{"error recovery", page[:], page[:], page[:]}
}

// capabilitiesMode is MMC-6, MM Capabilities and Mechanical Status mode page, which Linux
// reads: a tray that can be locked, and discs that cannot be written.
func (d *Disk) capabilitiesMode() modePage {
	const readsDVD, tray, lock, locked = 0x08, 0x28, 0x01, 0x02
	const speed = 50 * 176 // kB/s; obsolete, and printed
	page := [22]byte{0: capabilitiesPage, 1: 20, 2: readsDVD, 6: tray | lock}
	for _, at := range []int{8, 14} { // maximum and current
		binary.BigEndian.PutUint16(page[at:], speed)
	}
	now := page
	if d.isLocked() {
		now[6] |= locked
	}
	mask := [22]byte{0: capabilitiesPage, 1: 20}
	return modePage{"capabilities and mechanical status", now[:], page[:], mask[:]}
}

// isLocked reports whether removal is prevented. Behind the ring it may have ended with
// the nexus that asked for it: to find out takes too long.
func (d *Disk) isLocked() bool {
	if d.Direct {
		return d.medium.prevented()
	}
	d.medium.mu.Lock()
	defer d.medium.mu.Unlock()
	return d.medium.preventers != nil
}
