package tcmu

import "time"

// A command is a SCSI command taken from the ring. It is used again for
// another one once it is answered, so that serving allocates nothing.
type command struct {
	id   uint16
	cdb  []byte   // in room: the ring's own copy may be overwritten at any time
	data [][]byte // in the mapping, lent by the kernel until the answer
	room [maxCDB + entryAlign - 1]byte
	next *command // the link of the list it is in

	watcher *Watcher  // who watched when it was taken, or nil
	taken   time.Time // from the ring, if somebody watched
}
