package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

type resizeCmd struct {
	Disk string `arg:"" name:"disk" complete:"export" help:"A name that lunserve list shows, a device or an image."`
	Size size   `arg:"" optional:"" help:"Make the image that long first. Without it, the disk becomes as long as the image is now."`
}

// Run has a lunserve give a disk another size.
func (c *resizeCmd) Run() error {
	_, found, err := find([]string{c.Disk})
	if err != nil {
		return err
	}
	k := found[0]
	p, err := k.dial()
	if err != nil {
		return err
	}
	defer p.close()
	answer, err := p.ask(request{Do: "resize", Disk: k.Name, Size: int64(c.Size)})
	if err != nil {
		return err
	}
	for _, s := range answer.Disks {
		if s.Name == k.Name {
			fmt.Printf("%s: %s, was %s\n", s.Name, humanize.IBytes(uint64(s.Size)), humanize.IBytes(uint64(k.Size)))
		}
	}
	return nil
}
