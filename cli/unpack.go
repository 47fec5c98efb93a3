package cli

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/console"
)

type unpackCmd struct {
	In    string `arg:"" name:"image" complete:"image" help:"The image to unpack, in any supported format."`
	Out   string `arg:"" name:"output" complete:"file" help:"The raw image to create. Zeros take no space in it."`
	Force bool   `short:"f" help:"Replace the file if it exists."`

	imageFlags `embed:""`
}

// Run unpacks. The file appears when it is complete.
func (c *unpackCmd) Run(ctx context.Context, con *console.Console) (err error) {
	b := con.NewBar()
	defer b.Clear()
	start := time.Now()
	out, err := image.NewOutput(c.Out, c.Force, c.inputs(c.In)...)
	if err != nil {
		return err
	}
	defer closing(out, &err)
	size, err := image.Unpack(ctx, c.In, out, c.shown(con, b))
	if err == nil {
		err = out.Truncate(size)
	}
	if err == nil {
		err = out.Complete()
	}
	if err != nil {
		return err
	}
	b.Clear()
	d := time.Since(start)
	con.Say("%s: %s in %v (%s/s)", c.Out, humanize.IBytes(uint64(size)), d.Round(time.Millisecond), rate(size, d))
	return nil
}
