package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/backstores/raw"
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
		i.Pack = packCommand(path, i.Info, "").Line()
	}
	return i.Inspection, i.store, err
}

// inspectContents is inspect, and looks at what is on the disk.
func inspectContents(ctx context.Context, path string, o Options) (inspected, error) {
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
	words := []string{"lunserve"}
	if o.Format != Auto && o.Format != "" {
		words = append(words, "--format", o.Format)
	}
	words = append(words, i.windowFlag()...)
	if i.SectorSize > sectorBytes {
		words = append(words, "--sector-size", fmt.Sprint(i.SectorSize))
	}
	writable := i.Format != Zstd && i.Format != Simg && !IsURL(path)
	if o.ReadOnly || writable && unix.Access(path, unix.W_OK) != nil {
		words = append(words, "-r")
	}
	return hint.Quote(append(words, Typed(path))...)
}

// packCommand makes a file with random access from one without, beside it.
func packCommand(path string, i Info, purpose string) hint.Command {
	out := hint.Free(rawName(beside(path)) + ".zst")
	words := append([]string{"lunserve", "pack"}, i.windowFlag()...)
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
	if IsURL(path) {
		return inspectURL(ctx, path, o)
	}
	device, err := raw.Look(path)
	if err != nil {
		return i, err
	}
	d, err := detect(path, device, o.Format)
	if err != nil {
		return i, err
	}
	if d.format == Zstd {
		file, err := openSource(ctx, path, o)
		if err != nil {
			return i, err
		}
		return inspectZstd(ctx, file, o)
	}
	if i.store, err = open(ctx, path, o); err != nil {
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
	if !device {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return inspected{}, errors.Join(fmt.Errorf("%s: %w", path, err), i.store.Close())
		}
		i.Stored = st.Blocks * 512
	}
	return i, nil
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
	r, err := f.reader(o)
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
