package cli

import (
	"fmt"

	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

type powercutCmd struct {
	Disk   string `arg:"" name:"disk" complete:"export" help:"The disk, by name (see lunserve list), device or image. It must be served with --fault-track."`
	On     bool   `help:"Restore the power: the disk works again, as it was at its last flush." xor:"power"`
	Random bool   `help:"Lose any part of what was not flushed, as disks write in any order. --fault-seed repeats the choice." xor:"power"`
}

// Run cuts or restores the power of a disk in the process that serves it.
func (c *powercutCmd) Run(con *console.Console, out *console.Printer) error {
	_, found, err := find(con, []string{c.Disk})
	if err != nil {
		return err
	}
	client, err := found[0].dial()
	if err != nil {
		return err
	}
	defer client.Close()
	var disk control.Disk
	if c.On {
		_, err = client.PowerOn(found[0].Name)
		return err
	}
	if disk, err = client.PowerCut(found[0].Name, c.Random); err != nil {
		return err
	}
	if disk.Outage == nil { // another has restored it
		return nil
	}
	lines := []string{disk.Name + ": " + disk.Outage.Sentence()}
	if disk.Outage.Seed != 0 {
		lines = append(lines, fmt.Sprintf("--fault-seed %d repeats the choice", disk.Outage.Seed))
	}
	return out.Lines(lines...)
}
