package cli

import (
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

type plotCmd struct {
	Trace string `arg:"" name:"trace" complete:"file" help:"File of --trace."`
}

// Run prints a web page with a picture of the trace, for each disk in it.
func (c *plotCmd) Run(out *console.Printer) error {
	page := hint.Free(filepath.Base(c.Trace) + ".html")
	if console.Columns(os.Stdout) > 0 {
		return hint.With(errors.New("a web page is not for a terminal"),
			hint.Command{Words: []string{"lunserve", "plot", hint.Path(c.Trace)}, Output: page})
	}
	f, err := os.OpenFile(c.Trace, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", c.Trace, e.Err)
	}
	defer f.Close()
	all, more, err := readTrace(f)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", c.Trace, err)
	case len(all) == 0:
		return fmt.Errorf("%s: has no commands that read or write; --trace=FILE makes a trace", c.Trace)
	}
	title := html.EscapeString(hint.Visible(filepath.Base(c.Trace)))
	lines := []string{
		`<!DOCTYPE html>`,
		`<html lang="en"><head><meta charset="utf-8"><title>` + title + `</title>`,
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
		`<style>body{font:14px sans-serif;margin:2em}svg{width:100%;border:1px solid #ccc;background:#fff}p{margin:.3em 0}b{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em;vertical-align:-.15em}</style></head>`,
		`<body><h1>` + title + `</h1>`,
	}
	if more {
		lines = append(lines, fmt.Sprintf("<p>The first %s commands are shown.</p>", humanize.Comma(maxTraced)))
	}
	for _, lun := range luns(all) {
		of := slices.DeleteFunc(slices.Clone(all), func(c traced) bool { return c.lun != lun })
		lines = append(lines, newPlot(of).lines(lun)...)
	}
	return out.Lines(append(lines, "</body></html>")...)
}

// luns returns the LUNs of a trace, in order. A plot is for the first 16.
func luns(all []traced) (found []int) {
	for _, c := range all {
		if !slices.Contains(found, c.lun) && len(found) < 16 {
			found = append(found, c.lun)
		}
	}
	slices.Sort(found)
	return found
}
