package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

// layerFlags say what is laid over an image.
type layerFlags struct {
	Snapshot     bool   `short:"s" common:"" aliases:"cow" help:"Keep writes in a temporary file, which is dropped at exit. So it is by default for zstd and simg images."`
	Overlay      string `common:"" placeholder:"FILE" complete:"file" help:"Keep writes in FILE, and find them there next time. It is made if it does not exist."`
	Discard      string `enum:"unmap,ignore" default:"unmap" help:"Discards give space back, or the disk has none (${enum})."`
	DetectZeroes string `enum:"off,on,unmap" default:"off" help:"Write zeros as such, on; or discard instead, unmap (${enum})."`
}

// check refuses what makes no sense together.
func (f *layerFlags) check(images []string, readOnly bool) error {
	switch {
	case f.Snapshot && f.Overlay != "":
		return misuse("--snapshot drops writes and --overlay keeps them; give one of them")
	case f.Snapshot && readOnly:
		return misuse("--read-only refuses the writes that --snapshot is for; give one of them")
	case f.Overlay != "" && len(images) > 1:
		return misuse("--overlay is for one image, not %d", len(images))
	case f.DetectZeroes == "unmap" && f.Discard == "ignore":
		return misuse("--detect-zeroes=unmap needs --discard=unmap; try --detect-zeroes=on")
	}
	return nil
}

// over tells whether the image itself is not to be written.
func (f *layerFlags) over() bool { return f.Snapshot || f.Overlay != "" }

// lay puts the layers over an image, and tells what becomes of writes. If it
// fails the image stays open.
func (f *layerFlags) lay(ctx context.Context, base backstores.Backstore, path string, r readFlags, readOnly bool) (s backstores.Backstore, mode string, err error) {
	_, writable := base.(io.WriterAt)
	s = base
	switch {
	case f.Overlay != "":
		var kept int64
		if s, kept, err = image.OpenOverlay(ctx, f.Overlay, base, path, readOnly); err != nil {
			return nil, "", err
		}
		mode = fmt.Sprintf("writes are kept in %s, where %s are", f.Overlay, humanize.IBytes(uint64(kept)))
		if readOnly {
			mode = fmt.Sprintf("read-only, with %s of writes from %s", humanize.IBytes(uint64(kept)), f.Overlay)
		}
	case readOnly:
		mode = "read-only"
	case f.Snapshot || !writable:
		if s, err = image.Snapshot(ctx, base, r.TmpDir); err != nil {
			return nil, "", err
		}
		mode = fmt.Sprintf("writes are temporary, in %s, and dropped at exit", r.TmpDir)
	default:
		mode = "writable"
	}
	format := r.Format
	if format == image.Auto && s == base {
		format = image.RawFormat(base)
	}
	if f.Discard == "ignore" || format == image.Raw {
		s = backstores.FullyProvisioned(s)
	}
	if f.DetectZeroes != "off" {
		s = backstores.DetectZeroes(s, f.DetectZeroes == "unmap")
	}
	return s, mode, nil
}
