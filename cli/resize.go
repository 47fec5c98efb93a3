package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/serve/console"
)

type resizeCmd struct {
	Disk string `arg:"" name:"disk" complete:"export" help:"The disk, by name (see lunserve list), device or image."`
	Size growth `arg:"" optional:"" name:"size" help:"Grow the image to this size first, or by it, as in +10G. Without it, the disk adopts the present size of the image."`
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
	after, err := client.Resize(before.Name, c.Size.of(before.Size))
	if err != nil {
		return err
	}
	return out.Line("%s: %s, was %s", after.Name, humanize.IBytes(uint64(after.Size)), humanize.IBytes(uint64(before.Size)))
}

// A growth is a size on the command line or, as to truncate(1), how much larger something
// is to be, such as +10G. Its zero value is neither.
type growth struct {
	bytes int64
	more  bool
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (g *growth) UnmarshalText(text []byte) error {
	word, more := strings.CutPrefix(string(text), "+")
	n, ok := parseSize(word)
	if !ok {
		return fmt.Errorf("%q is not a size, such as 10G or +10G", text)
	}
	g.bytes, g.more = n, more
	return nil
}

// of returns the size of what has so many bytes now, or 0 if it is to be found out.
func (g growth) of(now int64) int64 {
	if g.more {
		return now + min(g.bytes, math.MaxInt64-now)
	}
	return g.bytes
}
