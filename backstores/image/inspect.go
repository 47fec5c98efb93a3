package image

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// An inspected is an Info and the store that it is of, or nil.
type inspected struct {
	Info
	store backstores.Backstore
}

// Inspect describes the image at path. It does no work that takes long: if
// opening the image would, the store is nil.
func Inspect(ctx context.Context, path string, o Options) (Info, backstores.Backstore, error) {
	i, err := await(ctx, path, func() (inspected, error) {
		i, err := inspect(ctx, path, o)
		return i, missing(path, err, false)
	},
		func(i inspected) { closeStore(i.store) })
	i.Serve = hint.Quote("lunserve", hint.Path(path))
	if !i.Random {
		i.Pack = packCommand(path, "").Line()
	}
	return i.Info, i.store, err
}

// packCommand makes a file with random access from one without, beside it.
func packCommand(path, purpose string) hint.Command {
	out := hint.Free(rawName(path) + ".zst")
	return hint.Command{Words: []string{"lunserve", "pack", hint.Path(path), hint.Path(out)}, Purpose: purpose}
}

func inspect(ctx context.Context, path string, o Options) (i inspected, err error) {
	o.ReadOnly, o.Create = true, 0
	o = o.withDefaults()
	device, err := raw.Look(path)
	if err != nil {
		return i, err
	}
	format, err := detect(path, device, o.Format)
	if err != nil {
		return i, err
	}
	if format == Zstd {
		return inspectZstd(ctx, path, o)
	}
	if i.store, err = open(ctx, path, o); err != nil {
		return i, err
	}
	if d, ok := i.store.(Describer); ok {
		i.Info = d.Info()
		return i, nil
	}
	if o.Format == Auto || o.Format == "" {
		format = Describe(i.store)
	}
	i.Info = Info{Format: format, Size: i.store.Size(), Stored: i.store.Size(), Random: true}
	if !device {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return inspected{}, errors.Join(fmt.Errorf("%s: %w", path, err), i.store.Close())
		}
		i.Stored = st.Blocks * 512
	}
	return i, nil
}

func inspectZstd(ctx context.Context, path string, o Options) (inspected, error) {
	f, err := scanZstd(ctx, path, o)
	if err != nil {
		return inspected{}, err
	}
	if f.large != nil || !f.scan.Sized {
		return inspected{Info: f.info}, f.Close()
	}
	r, err := f.reader(o)
	if err != nil {
		f.Close()
		return inspected{}, err
	}
	return inspected{f.info, &zstdImage{file: f, reader: r}}, nil
}
