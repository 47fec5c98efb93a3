package tcmu

import "time"

// A command is a SCSI command taken from the ring. It is reused after its
// completion, so that serving does not allocate.
type command struct {
	id   uint16
	cdb  []byte   // a part of room: the kernel may overwrite the entry
	data [][]byte // slices of the mapping, ours until the command is completed
	room [maxCDB + entryAlign - 1]byte
	next *command // in a list of the queue

	later *Later // how it is executed after all; nil: by the handler

	watcher *Watcher  // of the device when the command was taken, or nil
	taken   time.Time // set if there is a watcher
}
