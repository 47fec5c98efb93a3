package serve

import (
	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// state returns the disk as other programs see it, without its users.
func (d *disk) state(confined []string) control.Disk {
	faults, seed := d.faults.counts()
	return control.Disk{
		Name:      d.device.name,
		Image:     d.image.abs,
		Part:      d.image.partText,
		Format:    d.image.format,
		Writes:    d.image.writes,
		Overlay:   d.image.overlay,
		Size:      d.device.unit.Size(),
		BlockSize: d.image.blockSize,
		Device:    d.address.node,
		Mounted:   d.stillMounted(),
		URI:       d.address.uri(),
		WWPN:      d.address.wwpn,
		PID:       configfs.Self(),
		Direct:    d.device.kernel == nil,
		Started:   d.started,
		Confined:  confined,
		Done:      control.Stats(d.device.unit.Stats()),
		Faults:    faults,
		FaultSeed: seed,
		Outage:    d.power.outage.Load(),
	}
}

// stillMounted returns where the file system of the disk is mounted, or "": others may
// have unmounted it.
func (d *disk) stillMounted() string {
	if d.mounted == "" || sourceOf(inuse.MountsAt(d.mounted), d.address.node) == "" {
		return ""
	}
	return d.mounted
}

// statesWithUsers returns the disks with their users.
func (s *service) statesWithUsers() []control.Disk {
	all := s.states()
	for i, d := range s.disks {
		all[i].Users = s.usersOf(d)
	}
	return all
}

// states returns the disks without their users: finding those means scanning
// all processes.
func (s *service) states() (all []control.Disk) {
	for _, d := range s.disks {
		all = append(all, d.state(s.confined.Names()))
	}
	return all
}
