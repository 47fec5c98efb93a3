package main

import (
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A state is what there is to be known of a disk, for programs: those that read
// the events, and other lunserves that ask.
type state struct {
	Name      string     `json:"name"` // of no other disk of this machine
	Image     string     `json:"image"`
	Format    string     `json:"format,omitempty"`
	Writes    string     `json:"writes,omitempty"` // what becomes of them
	Size      int64      `json:"size"`             // bytes
	BlockSize int        `json:"block_size,omitempty"`
	Device    string     `json:"device,omitempty"`
	URI       string     `json:"uri,omitempty"`
	WWPN      string     `json:"wwpn,omitempty"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started,omitzero"`
	Dead      bool       `json:"dead,omitempty"`  // its lunserve was killed
	Users     []string   `json:"users,omitempty"` // such as "/dev/sdb is mounted on /mnt"
	Done      scsi.Stats `json:"done"`            // since then
	Rates     *rates     `json:"rates,omitempty"`
}

// state is that of the disk now.
func (x *export) state() state {
	return state{
		Name:      x.device.Name(),
		Image:     x.real,
		Format:    x.format,
		Writes:    x.mode,
		Size:      x.disk.Size(),
		BlockSize: x.blockSize,
		Device:    x.node,
		URI:       x.uri(),
		WWPN:      x.wwpn,
		PID:       configfs.Self(),
		Started:   x.started,
		Done:      x.disk.Stats(),
	}
}
