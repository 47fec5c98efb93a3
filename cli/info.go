package cli

import (
	"context"
	"errors"
	"fmt"
	"github.com/lunserve/lunserve/serve/console"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
)

type infoCmd struct {
	Images []string `arg:"" name:"image" complete:"image" help:"Images to describe."`
	JSON   bool     `help:"Print a JSON array with an object for each image."`

	imageFlags `embed:""`
}

// An about is what info tells of an image.
type about struct {
	Path string `json:"path"`
	backstores.Facts
	Ratio    float64  `json:"ratio,omitempty"` // size to stored
	Holes    int64    `json:"holes"`           // bytes known to be zeros that take no space
	Contents []volume `json:"contents,omitempty"`
}

// Run tells of all images, those that cannot be read too.
func (c *infoCmd) Run(ctx context.Context, con *console.Console) error {
	var fails []error
	all := []*about{}
	for _, path := range c.Images {
		a, err := c.look(ctx, con, path)
		if err != nil {
			fails = append(fails, err)
			continue
		}
		if all = append(all, a); !c.JSON {
			a.print(len(all) > 1)
		}
	}
	if c.JSON {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	return errors.Join(fails...)
}

func (c *infoCmd) look(ctx context.Context, con *console.Console, path string) (*about, error) {
	b := con.NewBar()
	defer b.Clear()
	facts, store, err := backstores.Inspect(path, c.shown(ctx, con, b))
	if err != nil {
		return nil, err
	}
	a := &about{Path: path, Facts: facts}
	if facts.Size > 0 && facts.Stored > 0 {
		a.Ratio = float64(facts.Size) / float64(facts.Stored)
	}
	if store == nil {
		return a, nil
	}
	for off := int64(0); off < store.Size() && err == nil; {
		var n int64
		var data bool
		n, data, err = backstores.Extent(store, off)
		if !data {
			a.Holes += n
		}
		off += n
	}
	if err == nil {
		a.Contents, err = volumes(store, store.Size())
	}
	return a, errors.Join(err, store.Close())
}

// print prints a for people.
func (a *about) print(more bool) {
	if more {
		fmt.Println()
	}
	row := func(name, format string, args ...any) {
		fmt.Printf("%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("image", "%s", a.Path)
	row("format", "%s", a.Facts)
	if a.Size > 0 {
		row("size", "%s (%s bytes)", humanize.IBytes(uint64(a.Size)), humanize.Comma(a.Size))
	} else {
		row("size", "not known before it is decompressed")
	}
	if a.Ratio > 0 {
		row("stored", "%s (ratio %.2f)", humanize.IBytes(uint64(a.Stored)), a.Ratio)
	} else {
		row("stored", "%s", humanize.IBytes(uint64(a.Stored)))
	}
	if a.Random {
		row("holes", "%s", humanize.IBytes(uint64(a.Holes)))
	}
	switch {
	case a.Format != backstores.Zstd:
	case a.Random:
		sums := ""
		if a.Checksums {
			sums = ", with checksums"
		}
		row("random access", "cheap, by %s%s", a.Index, sums)
	case a.Frames == 1:
		row("random access", "none: it is unpacked to a temporary file first")
	default:
		row("random access", "after decompressing it once")
	}
	for i, v := range a.Contents {
		name := ""
		if i == 0 {
			name = "contents"
		}
		row(name, "%s", v)
	}
	row("serve", "%s", a.Serve)
	if a.Pack != "" {
		row("serve at once", "%s", a.Pack)
	}
}
