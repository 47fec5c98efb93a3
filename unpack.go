package main

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/image"
)

type unpackCmd struct {
	In    string `arg:"" complete:"image" help:"The image to unpack, of any format that is served."`
	Out   string `arg:"" complete:"file" help:"The raw image to make. Zeros take no space in it."`
	Force bool   `short:"f" help:"Replace the file if it exists."`

	readFlags `embed:""`
}

// Run unpacks. The file appears when it is complete; all checksums that the
// image has were right then.
func (c *unpackCmd) Run(ctx context.Context) (err error) {
	b := newBar()
	defer b.clear()
	start := time.Now()
	out, err := image.NewOutput(c.Out, c.Force, c.In)
	if err != nil {
		return err
	}
	defer closing(out, &err)
	size, err := image.Unpack(ctx, c.In, out, c.options(b))
	if err == nil {
		err = out.Truncate(size)
	}
	if err == nil {
		err = out.Complete()
	}
	if err != nil {
		return err
	}
	b.clear()
	d := time.Since(start)
	say("%s: %s in %v (%s/s)", c.Out, humanize.IBytes(uint64(size)), d.Round(time.Millisecond), rate(size, d))
	return nil
}
