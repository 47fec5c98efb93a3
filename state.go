package main

import (
	"os"

	"github.com/lunserve/lunserve/serve/control"
)

// state is the disk as other programs see it, without its users.
func (x *export) state() control.Disk {
	return control.Disk{
		Name:      x.device.Name(),
		Image:     x.real,
		Format:    x.format,
		Writes:    x.writes,
		Overlay:   x.overlay,
		Size:      x.disk.Size(),
		BlockSize: x.blockSize,
		Device:    x.node,
		URI:       x.uri(),
		WWPN:      x.wwpn,
		PID:       os.Getpid(),
		Started:   x.started,
		Done:      control.Stats(x.disk.Stats()),
	}
}
