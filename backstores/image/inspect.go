package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/hint"
)

// An Inspection is the result of [Inspect]: what an image is, and what is on
// its disk if that can be read at once.
type Inspection struct {
	Info
	contents.Disk
}

// An inspected is an Inspection and the store that it is of, or nil.
type inspected struct {
	Inspection
	store backstores.Backstore
}

// Inspect describes the image at path. It does no work that takes long: if
// opening the image would, the store is nil.
func Inspect(ctx context.Context, path string, o Options) (Inspection, backstores.Backstore, error) {
	i, err := await(ctx, Name(path), func() (inspected, error) {
		i, err := inspectContents(ctx, path, o)
		return i, missing(path, err, false)
	},
		func(i inspected) { closeStore(i.store) })
	i.Serve = i.serveCommand(path, o)
	if !i.Random {
		i.Pack = packCommand(path, o, i.Info, "").Line()
	}
	return i.Inspection, i.store, err
}

// inspectContents is inspect, and looks at what is on the disk.
func inspectContents(ctx context.Context, path string, o Options) (inspected, error) {
	o.little = true
	i, err := inspect(ctx, path, o)
	if i.store == nil || err != nil {
		return i, err
	}
	d, err := contents.Read(i.store, i.store.Size())
	if err != nil {
		return inspected{}, errors.Join(err, i.store.Close())
	}
	i.Disk = d
	return i, nil
}

// serveCommand returns the line that serves the image as it was inspected, or
// nothing if it is shorter than a block.
func (i inspected) serveCommand(path string, o Options) string {
	if i.store != nil && i.Size < sectorBytes {
		return ""
	}
	words := append([]string{"lunserve"}, o.URL.flags(path, o.Backing...)...)
	if o.Format != Auto && o.Format != "" {
		words = append(words, "--format", o.Format)
	}
	words = append(words, i.windowFlag()...)
	if i.SectorSize > sectorBytes {
		words = append(words, "--sector-size", fmt.Sprint(i.SectorSize))
	}
	if i.Backing != "" && len(o.Backing) == 0 {
		words = append(words, "--backing", "FILE")
	}
	for _, b := range o.Backing {
		words = append(words, "--backing", Typed(b))
	}
	writable := !readOnlyFormat(i.Format) && !IsURL(path)
	if o.ReadOnly || writable && unix.Access(path, unix.W_OK) != nil {
		words = append(words, "-r")
	}
	return hint.Quote(append(words, Typed(path))...)
}

// packCommand makes a file with random access from one without, beside it.
func packCommand(path string, o Options, i Info, purpose string) hint.Command {
	out := hint.Free(rawName(beside(path)) + ".zst")
	words := slices.Concat([]string{"lunserve", "pack"}, o.URL.flags(path), i.windowFlag())
	return hint.Command{Words: append(words, Typed(path), hint.Path(out)), Purpose: purpose}
}

// windowFlag is the flag without which an image with a large window cannot be
// read, or nil.
func (i Info) windowFlag() []string {
	if i.window <= defaultMaxWindow {
		return nil
	}
	return []string{"--zstd-window", fmt.Sprint(i.window)}
}

func inspect(ctx context.Context, path string, o Options) (i inspected, err error) {
	o.ReadOnly, o.Create = true, 0
	o = o.withDefaults()
	file, d, err := openSource(ctx, path, o)
	switch {
	case err != nil:
		return i, err
	case d.format == Zstd:
		return inspectZstd(ctx, file, o)
	case d.format == Qcow2:
		return inspectQcow2(ctx, file, o)
	case file != nil:
		i.store, err = openFormat(ctx, file, d.format, o)
	default:
		i.store, err = openInPlace(ctx, path, d, o)
	}
	if err != nil {
		return i, err
	}
	if d, ok := i.store.(Describer); ok {
		i.Info = d.Info()
		return i, nil
	}
	if o.Format == Auto || o.Format == "" {
		d.format = cmp.Or(RawFormat(i.store), Raw)
	}
	i.Info = Info{Format: d.format, LooksLike: d.looksLike, Size: i.store.Size(), Stored: i.store.Size(), Random: true}
	if i.Stored, err = stored(i.store); err != nil {
		return inspected{}, errors.Join(err, i.store.Close())
	}
	return i, nil
}

// stored returns how many bytes an open file takes. A device, and a file at a URL,
// take their size.
func stored(file backstores.Backstore) (int64, error) {
	f, ok := file.(interface{ Fd() int })
	if !ok {
		return file.Size(), nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.Fd(), &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return file.Size(), nil
	}
	return st.Blocks * 512, nil
}

// inspectZstd describes a zstd file, and takes it over.
func inspectZstd(ctx context.Context, file source, o Options) (inspected, error) {
	if err := peekNested(file, o); err != nil {
		file.Close()
		return inspected{}, err
	}
	f, err := scanZstd(ctx, file, o)
	if err != nil {
		return inspected{}, err
	}
	if f.large != nil || !f.scan.Sized {
		return inspected{Inspection: Inspection{Info: f.info}}, f.Close()
	}
	r, err := f.reader()
	if err != nil {
		f.Close()
		return inspected{}, err
	}
	s, err := unnested(f.Path(), &zstdImage{file: f, reader: r}, o)
	if err != nil {
		return inspected{}, err
	}
	return inspected{Inspection{Info: f.info}, s}, nil
}
