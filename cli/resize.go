package cli

import (
	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/serve/console"
)

type resizeCmd struct {
	Disk string `arg:"" name:"disk" complete:"export" help:"The disk, by name (see lunserve list), device or image."`
	Size size   `arg:"" optional:"" help:"Grow the image to this size first. Without it, the disk adopts the present size of the image."`
}

// Run resizes the disk in the process that serves it.
func (c *resizeCmd) Run(con *console.Console, out *console.Printer) error {
	_, found, err := find(con, []string{c.Disk})
	if err != nil {
		return err
	}
	before := found[0]
	client, err := before.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	after, err := client.Resize(before.Name, int64(c.Size))
	if err != nil {
		return err
	}
	return out.Line("%s: %s, was %s", after.Name, humanize.IBytes(uint64(after.Size)), humanize.IBytes(uint64(before.Size)))
}
