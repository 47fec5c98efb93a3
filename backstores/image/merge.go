package image

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A Merge puts an overlay and its base together, in the base or in a new image.
type Merge struct {
	// Base is the path of the base, if it was moved since the overlay was made.
	Base string

	// Options say how to read the base, and where to report progress.
	Options Options
}

// Commit writes the changes in the overlay at path to its base, a raw image, and
// removes the overlay. Neither may be in use.
//
// Commit may be interrupted at any point and must then be repeated: the overlay
// records that its base is being changed, and can only be committed until all
// changes are in the base and durable. Until then the base is recognized by the
// part that the overlay does not change. Afterwards the base may change. An
// overlay that is still there, by another name or because it could not be
// removed, records that it is committed, and cannot be opened any more.
func (m Merge) Commit(ctx context.Context, path string) error {
	return awaitError(ctx, path, func() error { return m.commit(ctx, path) })
}

// Export writes what the overlay at path and its base hold together to a new raw
// image, which appears when it is complete.
func (m Merge) Export(ctx context.Context, path, out string, replace bool) error {
	return awaitError(ctx, path, func() error { return m.export(ctx, path, out, replace) })
}

// awaitError is await for a job that returns nothing.
func awaitError(ctx context.Context, path string, job func() error) error {
	_, err := await(ctx, path, func() (struct{}, error) { return struct{}{}, job() }, func(struct{}) {})
	return err
}

func (m Merge) commit(ctx context.Context, path string) (err error) {
	o, err := loadOverlay(path, false)
	if err != nil {
		return err
	}
	defer o.file.Close()
	if o.Committed() {
		return removeOverlay(path)
	}
	name, format := m.base(o)
	again := hint.Command{Words: []string{"lunserve", "commit", hint.Path(path)}}
	if format != Raw {
		export := again
		export.Words = append(export.Words, "-o", hint.Path(hint.Free("disk.img")))
		return hint.With(fmt.Errorf("%s: is not a raw image, and cannot be written", name), export)
	}
	base, err := m.openBase(ctx, o, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	if err := o.Attach(base, name); err != nil {
		return err
	}
	if err := named(ctx, path, ctx.Err()); err != nil {
		return err
	}
	if err := o.BeginCommit(); err != nil {
		return err
	}
	count := m.counter("committing", o.Kept())
	for off := int64(0); off < o.Size(); {
		same, changed := o.Run(off, o.Size()-off)
		if changed {
			if err := copyExtents(ctx, base, o, off, same, true, count); err != nil {
				return hint.With(fmt.Errorf("%s: is only partly merged into its base, and neither can be used until the merge is complete: %w", path, named(ctx, "committing", err)), again)
			}
		}
		off += same
	}
	if err := backstores.Flush(base); err != nil {
		return err
	}
	if err := o.EndCommit(); err != nil {
		return err
	}
	return removeOverlay(path)
}

// removeOverlay removes an overlay that is committed and, if path is a symbolic
// link to it, the link.
func removeOverlay(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = unix.Unlink(real)
	}
	if err == nil {
		if err = unix.Unlink(path); err == unix.ENOENT {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s: is merged into its base, but cannot be removed: %w", path, err)
	}
	return errors.Join(raw.SyncDir(filepath.Dir(real)), raw.SyncDir(filepath.Dir(path)))
}

func (m Merge) export(ctx context.Context, path, out string, replace bool) (err error) {
	o, err := loadOverlay(path, true)
	if err != nil {
		return err
	}
	defer o.file.Close()
	base, err := m.openBase(ctx, o, true)
	if err != nil {
		return err
	}
	defer base.Close()
	name, _ := m.base(o)
	if err := o.Attach(base, name); err != nil {
		return err
	}
	to, err := raw.NewOutput(out, replace, path, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	file, err := to.Image(out, o.Size())
	if err != nil {
		return err
	}
	what := "writing " + out
	if err := copyExtents(ctx, file, o, 0, o.Size(), false, m.counter(what, o.Size())); err != nil {
		return named(ctx, out, err)
	}
	return to.Complete()
}

// openBase opens the base in the format that it had.
func (m Merge) openBase(ctx context.Context, o *openOverlay, readOnly bool) (backstores.Backstore, error) {
	path, format := m.base(o)
	opts := m.Options
	opts.ReadOnly = readOnly
	if format == Raw {
		opts.Format = Raw
	}
	s, err := open(ctx, path, opts)
	return s, named(ctx, path, err)
}

// base returns the path of the base, and the format that it had.
func (m Merge) base(o *openOverlay) (path, format string) {
	path, format = o.Base()
	if m.Base != "" {
		path = m.Base
	}
	return path, format
}

// counter returns a function that reports n more bytes as done.
func (m Merge) counter(what string, total int64) func(n int64) {
	progress, done := m.Options.progress(what), int64(0)
	return func(n int64) {
		done += n
		progress(done, total)
	}
}

// copyExtents copies n bytes at off from one store to the same offset in
// another. It trims holes or, if trim is false, skips them.
func copyExtents(ctx context.Context, to, from backstores.Backstore, off, n int64, trim bool, count func(int64)) error {
	p := make([]byte, 1<<20)
	for end := off + n; off < end; {
		extent, data, err := backstores.Extent(from, off)
		if err != nil {
			return err
		}
		extent = min(extent, end-off)
		bufs := [][]byte{p[:min(extent, int64(len(p)))]}
		if data {
			extent = int64(len(bufs[0]))
			err = backstores.ReadVec(from, bufs, off, 0)
		}
		if err == nil {
			err = ctx.Err() // storage may have taken long to answer
		}
		switch {
		case err != nil:
		case data:
			err = backstores.WriteVec(to, bufs, off, 0)
		case trim:
			err = backstores.Trim(to, off, extent)
		}
		if err != nil {
			return err
		}
		off += extent
		count(extent)
	}
	return nil
}
