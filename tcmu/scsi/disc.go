package scsi

import (
	"cmp"
	"encoding/binary"
	"math"
)

// A disc has one session, which is closed, and in it one track of data from LBA 0 to the
// end. READ CD reads user data only: an image of 2048-byte blocks has neither headers nor
// error correction. READ CD MSF is not supported, and the features that demand more are
// not claimed.

// MaxCDROM is the most bytes of a disc: READ CAPACITY is its only command for the size, and
// returns FFFFFFFFh if the last LBA does not fit.
const MaxCDROM = discBlock * math.MaxUint32

// discBlock is the size of a block.
const discBlock = 2048

// longestCD is the most blocks that a disc is taken for a CD with: 80 minutes. What is
// longer is a DVD.
const longestCD = 80 * 60 * framesPerSecond

// Addresses of a CD in time (MMC-6, MSF address).
const (
	framesPerSecond = 75
	pregap          = 2 * framesPerSecond // before LBA 0
)

// discAddress encodes an LBA in four bytes, or its time, at most 255 minutes.
func discAddress(lba uint64, msf bool) []byte {
	if !msf {
		return binary.BigEndian.AppendUint32(nil, uint32(lba))
	}
	at := min(lba+pregap, 256*60*framesPerSecond-1)
	return []byte{0, byte(at / framesPerSecond / 60), byte(at / framesPerSecond % 60), byte(at % framesPerSecond)}
}

// readTOC is MMC-6, READ TOC/PMA/ATIP Command. Linux asks for the format in the two high
// bits of CONTROL, where MMC-1 had it (sr_get_last_session in drivers/scsi/sr_vendor.c).
func (d *Disk) readTOC(r request) (int, error) {
	const dataTrack, leadOut = 0x14, 0xaa // ADR and CONTROL; a track number
	msf, format, from := r.cdb[1]&0x02 != 0, cmp.Or(r.cdb[2], r.cdb[9]>>6), r.cdb[6]
	end := d.blocks.Load()
	track := func(number byte, lba uint64) []byte {
		return append([]byte{0, dataTrack, number, 0}, discAddress(lba, msf)...)
	}
	b := []byte{0, 0, 1, 1} // the first and the last track, or session
	switch format {
	case 0: // Formatted TOC
		if from > 1 && from != leadOut {
			return 0, badField(6, -1)
		}
		if from <= 1 {
			b = append(b, track(1, 0)...)
		}
		b = append(b, track(leadOut, end)...)
	case 1: // Multi-session Information
		b = append(b, track(1, 0)...)
	case 2: // Raw TOC
		if from > 1 {
			return 0, badField(6, -1)
		}
		for _, entry := range []struct {
			point byte
			at    []byte
		}{
			{0xa0, []byte{0, 1, 0, 0}}, {0xa1, []byte{0, 1, 0, 0}}, // the first and the last track
			{0xa2, discAddress(end, true)}, {1, discAddress(0, true)},
		} {
			b = append(b, 1, dataTrack, 0, entry.point, 0, 0, 0)
			b = append(b, entry.at...)
		}
	default:
		return 0, badField(2, 3)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return r.reply(b, int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// readDisc is MMC-6, READ DISC INFORMATION Command, Standard Disc Information.
func (d *Disk) readDisc(r request) (int, error) {
	if r.cdb[1]&7 != 0 {
		return 0, badField(1, 2)
	}
	var b [34]byte
	binary.BigEndian.PutUint16(b[0:], uint16(len(b)-2))
	b[2] = 0x0e                         // the disc and its last session are complete
	b[3], b[4], b[5], b[6] = 1, 1, 1, 1 // first track, sessions, first and last track of the last session
	b[7] = 0x20                         // URU: unrestricted use
	for i := range b[16:24] {           // no further session can be added
		b[16+i] = 0xff
	}
	return r.reply(b[:], int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// readTrack is MMC-6, READ TRACK INFORMATION Command.
func (d *Disk) readTrack(r request) (int, error) {
	const ofLBA, ofTrack = 0, 1
	blocks, number := d.blocks.Load(), binary.BigEndian.Uint32(r.cdb[2:])
	switch r.cdb[1] & 3 {
	case ofLBA:
		if uint64(number) >= blocks {
			return 0, lbaOutOfRange.withInfo(uint64(number))
		}
	default: // there is one track, and one session
		if r.cdb[1]&3 > ofTrack+1 {
			return 0, badField(1, 1)
		}
		if number != 1 {
			return 0, badField(2, -1)
		}
	}
	var b [36]byte
	binary.BigEndian.PutUint16(b[0:], uint16(len(b)-2))
	b[2], b[3] = 1, 1 // track and session
	b[5] = 0x04       // a data track
	b[6] = 0x01       // of mode 1
	binary.BigEndian.PutUint32(b[24:], uint32(min(blocks, math.MaxUint32)))
	return r.reply(b[:], int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// mechanismStatus is MMC-6, MECHANISM STATUS Command: of a drive that is no changer.
func (d *Disk) mechanismStatus(r request) (int, error) {
	var b [8]byte
	d.medium.mu.Lock()
	if d.medium.ejected {
		b[1] = 0x10 // the door is open
	}
	d.medium.mu.Unlock()
	return r.reply(b[:], int(binary.BigEndian.Uint16(r.cdb[8:])))
}

// readCD is MMC-6, READ CD Command: as READ, of a CD.
func (d *Disk) readCD(r request) (int, error) {
	if err := d.checkReadCD(r); err != nil {
		return 0, err
	}
	if r.cdb[9] == 0 { // no data is asked for
		_, _, err := d.extent(r.blocks())
		return 0, err
	}
	cdb := [12]byte{0: opRead12}
	copy(cdb[2:6], r.cdb[2:6])
	copy(cdb[7:10], r.cdb[6:9])
	r.cdb = cdb[:]
	return d.read(r)
}

// checkReadCD checks that the disc has the sectors that READ CD expects.
func (d *Disk) checkReadCD(r request) error {
	const anyType, mode1 = 0, 2
	if d.profile() != profileCD {
		return incompatibleFormat
	}
	if kind := r.cdb[1] >> 2; kind != anyType && kind != mode1 {
		return illegalMode
	}
	return nil
}

// structures are the formats that READ DISC STRUCTURE has, in order, with their length in
// bytes and its header.
var structures = []struct {
	format byte
	length uint16
}{
	{physicalFormat, 4 + 2048},
	{0x01, 4 + 4},    // copyright: none
	{0x04, 4 + 2048}, // manufacturing: nothing
}

const physicalFormat = 0x00

// readStructure is MMC-6, READ DISC STRUCTURE Command, of a DVD with one layer.
func (d *Disk) readStructure(r request) (int, error) {
	const list, readable = 0xff, 0x40
	b := make([]byte, 4, 4+2048)
	switch layer, format := r.cdb[6], r.cdb[7]; {
	case format == list:
		for _, s := range structures {
			b = binary.BigEndian.AppendUint16(append(b, s.format, readable), s.length)
		}
	case d.profile() != profileDVD:
		return 0, incompatibleFormat
	case layer != 0:
		return 0, badField(6, -1)
	default:
		for _, s := range structures {
			if s.format == format {
				b = b[:s.length]
			}
		}
		if len(b) == 4 {
			return 0, badField(7, -1)
		}
		if format == physicalFormat {
			const first = 0x30000                       // the disc's own number of LBA 0
			copy(b[4:], []byte{0x01, 0x0f, 0x01, 0x00}) // a DVD-ROM of 120 mm; one layer, embossed
			binary.BigEndian.PutUint32(b[8:], first)
			binary.BigEndian.PutUint32(b[12:], uint32(min(first+d.blocks.Load()-1, 0xffffff)))
		}
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return r.reply(b, int(binary.BigEndian.Uint16(r.cdb[8:])))
}
