package scsi

import "encoding/binary"

// mediaEvent is the event of loading or ejecting the disc (MMC-6, Media Event Status).
func mediaEvent(loaded bool) byte {
	const newMedia, removal = 2, 3
	if loaded {
		return newMedia
	}
	return removal
}

// getEvent is MMC-6, GET EVENT STATUS NOTIFICATION Command. Of the classes of events it
// has that of the media. Initiators share them: the first to ask is informed. Those that
// poll look at TEST UNIT READY as well.
func (d *Disk) getEvent(r request) (int, error) {
	if r.cdb[1]&1 == 0 { // POLLED
		return 0, badField(1, 0)
	}
	const media = 4
	allocation := int(binary.BigEndian.Uint16(r.cdb[7:]))
	b := []byte{0, 2, 0x80, 1 << media} // NEA: no event available
	if r.cdb[4]&(1<<media) != 0 {
		b = []byte{0, 6, media, 1 << media, 0, 0x02, 0, 0} // the medium is present
		m := &d.medium
		m.mu.Lock()
		b[4] = m.event
		if allocation > 4 { // the initiator gets it
			m.event = 0
		}
		if m.ejected {
			b[5] = 0x01 // the tray is open
		}
		m.mu.Unlock()
	}
	return r.reply(b, allocation)
}
