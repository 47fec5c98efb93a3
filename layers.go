package main

import (
	"fmt"
	"github.com/lunserve/lunserve/serve/control"
	"io"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
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
func (f *layerFlags) lay(image backstores.Backstore, path string, r readFlags, readOnly bool) (s backstores.Backstore, writes control.Writes, mode string, err error) {
	_, writable := image.(io.WriterAt)
	s = image
	switch {
	case f.Overlay != "":
		var kept int64
		if s, kept, err = backstores.OpenOverlay(f.Overlay, image, path, readOnly); err != nil {
			return nil, "", "", err
		}
		writes = control.Overlay
		mode = fmt.Sprintf("writes are kept in %s, where %s are", f.Overlay, humanize.IBytes(uint64(kept)))
		if readOnly {
			writes = control.Refused
			mode = fmt.Sprintf("read-only, with %s of writes from %s", humanize.IBytes(uint64(kept)), f.Overlay)
		}
	case readOnly:
		writes, mode = control.Refused, "read-only"
	case f.Snapshot || !writable:
		if s, err = backstores.Snapshot(image, r.TmpDir); err != nil {
			return nil, "", "", err
		}
		writes = control.Temporary
		mode = fmt.Sprintf("writes are temporary, in %s, and dropped at exit", r.TmpDir)
	default:
		writes, mode = control.InPlace, "writable"
	}
	format := r.Format
	if format == backstores.Auto && s == image {
		format = backstores.RawFormat(image)
	}
	if f.Discard == "ignore" || format == backstores.Raw {
		s = backstores.FullyProvisioned(s)
	}
	if f.DetectZeroes != "off" {
		s = backstores.DetectZeroes(s, f.DetectZeroes == "unmap")
	}
	return s, writes, mode, nil
}
