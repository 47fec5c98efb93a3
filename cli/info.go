package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/console"
)

type infoCmd struct {
	Images []string `arg:"" name:"image" complete:"image" help:"Images to describe."`
	JSON   bool     `help:"Print a JSON object for each image, one per line."`

	imageFlags `embed:""`
}

// An imageInfo is what info prints about an image.
type imageInfo struct {
	Path string `json:"path"`
	image.Inspection
	Ratio float64 `json:"ratio,omitempty"` // Size to Stored
	Holes int64   `json:"holes"`           // bytes of zeros that take no space

	layout *image.Layout // nil if Holes is not known
}

// Run describes all images, even if some cannot be read.
func (c *infoCmd) Run(ctx context.Context, con *console.Console, out *console.Printer) error {
	var fails []error
	more := false // than the first
	for _, path := range c.Images {
		a, err := c.look(ctx, con, path)
		if err != nil {
			fails = append(fails, err)
			continue
		}
		if c.JSON {
			err = out.JSON(a)
		} else {
			err = a.print(out, more)
		}
		if err != nil {
			return err
		}
		more = true
	}
	return errors.Join(fails...)
}

func (c *infoCmd) look(ctx context.Context, con *console.Console, path string) (*imageInfo, error) {
	b := con.NewBar()
	defer b.Clear()
	info, store, err := image.Inspect(ctx, path, c.shown(con, b))
	if err != nil {
		return nil, err
	}
	a := &imageInfo{Path: image.Name(path), Inspection: info}
	if info.Size > 0 && info.Stored > 0 {
		a.Ratio = float64(info.Size) / float64(info.Stored)
	}
	if store == nil {
		return a, nil
	}
	if a.layout, err = image.ReadLayout(ctx, store, mapColumns); a.layout != nil {
		a.Holes = a.layout.Holes
	}
	return a, errors.Join(err, store.Close())
}

// print prints a for people; more adds the blank line after another.
func (a *imageInfo) print(out *console.Printer, more bool) error {
	var rows []string
	if more {
		rows = append(rows, "")
	}
	row := func(name, format string, args ...any) {
		rows = append(rows, fmt.Sprintf("%-13s %s", name, fmt.Sprintf(format, args...)))
	}
	row("image", "%s", a.Path)
	row("format", "%s", a.Info)
	if a.Size > 0 {
		row("size", "%s (%s bytes)", humanize.IBytes(uint64(a.Size)), humanize.Comma(a.Size))
	} else {
		row("size", "unknown until it is decompressed")
	}
	if a.Ratio > 0 {
		row("stored", "%s (ratio %.2f)", humanize.IBytes(uint64(a.Stored)), a.Ratio)
	} else {
		row("stored", "%s", humanize.IBytes(uint64(a.Stored)))
	}
	if a.layout != nil {
		row("holes", "%s", humanize.IBytes(uint64(a.Holes)))
	}
	if a.Compressed > 0 {
		row("compressed", "%s with %s", humanize.IBytes(uint64(a.Compressed)), a.Compression)
	}
	if a.Snapshots > 0 {
		row("snapshots", "%d, which are not served", a.Snapshots)
	}
	if a.Backing != "" {
		row("backing file", "%s, by its header", a.Backing)
	}
	switch {
	case a.Format != image.Zstd:
	case a.Random:
		sums := ""
		if a.Checksums {
			sums = ", with checksums"
		}
		row("random access", "yes, by %s%s", a.Index, sums)
	case a.EndToEnd():
		row("random access", "no: it is decompressed to a temporary file before it is served")
	default:
		row("random access", "after decompressing it once to make an index")
	}
	for i, v := range a.Volumes {
		name := ""
		if i == 0 {
			name = "contents"
		}
		row(name, "%s", v)
	}
	for i, line := range a.drawMap() {
		name := ""
		if i == 0 {
			name = "map"
		}
		row(name, "%s", line)
	}
	for _, note := range a.Notes {
		row("note", "%s", note)
	}
	if a.Serve != "" {
		row("serve", "%s", a.Serve)
	} else {
		row("serve", "no: it is less than one block of 512 bytes")
	}
	if a.Pack != "" {
		row("pack", "%s", a.Pack)
	}
	return out.Lines(rows...)
}
