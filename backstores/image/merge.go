package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A Merge puts an overlay and its base together, in the base or in a new image.
type Merge struct {
	// Base is the path of the base. If it is empty, that is taken from the overlay's
	// header, which may be refused.
	Base string

	// Options say how to read the base, and where to report progress. Notice is
	// called with the path of the base before that is opened.
	Options Options
}

// Commit writes the changes in the overlay at path to its base, a raw image, and
// removes the overlay. Neither may be in use.
//
// Commit may be interrupted at any point and must then be repeated: the overlay
// records that its base is being changed, and can only be committed until all
// changes are in the base and durable. Afterwards the base may change. An
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

// awaitError is await for a job on an overlay that returns nothing.
func awaitError(ctx context.Context, path string, job func() error) error {
	_, err := await(ctx, path, func() (struct{}, error) {
		err, _ := misspelt(path, job())
		return struct{}{}, err
	}, func(struct{}) {})
	return err
}

func (m Merge) commit(ctx context.Context, path string) (err error) {
	names, err := entry.Follow(path)
	if err != nil {
		return err
	}
	defer names.Close()
	o, err := loadOverlay(path, false)
	if err != nil {
		return err
	}
	defer o.file.Close()
	if o.Committed() {
		return o.remove(names, path)
	}
	b, err := m.chooseBase(o)
	if err != nil {
		return err
	}
	again := commitAgain(path, m.Base, m.Options.URL.flags(m.Base))
	if b.format != Raw || IsURL(b.typed) {
		again.Words = append(again.Words, "-o", hint.Path(hint.Free("disk.img")))
		return hint.With(fmt.Errorf("%s: is not a raw image in a file, and cannot be written", hint.Visible(b.path)), again)
	}
	if err := b.open(ctx, o, m.Options, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	base := b.store
	if err := stayRaw(base, o, m.Options); err != nil {
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
	return o.remove(names, path)
}

// remove removes an overlay that is committed and, if its path is a symbolic
// link to it, the link.
func (o *openOverlay) remove(names *entry.Chain, path string) error {
	if err := names.Remove(o.file.Fd()); err != nil {
		return fmt.Errorf("%w; what %s held is in its base", err, path)
	}
	return nil
}

func (m Merge) export(ctx context.Context, path, out string, replace bool) (err error) {
	o, err := loadOverlay(path, true)
	if err != nil {
		return err
	}
	defer o.file.Close()
	b, err := m.chooseBase(o)
	if err != nil {
		return err
	}
	if err := b.open(ctx, o, m.Options, true); err != nil {
		return err
	}
	defer b.Close()
	to, err := raw.NewOutput(out, replace, path, b.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	n, err := dataBytes(ctx, o)
	if err != nil {
		return named(ctx, out, err)
	}
	if err := to.Reserve(n); err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	file, err := to.Image(out, o.Size())
	if err == nil {
		err = stayRaw(guess(file, out, detected{}, m.Options), o, m.Options)
	}
	if err != nil {
		return err
	}
	what := "writing " + out
	if err := copyExtents(ctx, file, o, 0, o.Size(), false, m.counter(what, o.Size())); err != nil {
		return named(ctx, out, err)
	}
	return to.Complete()
}

// commitAgain is the command that commits an overlay to a base that the user has
// named, or else to the one in the header.
func commitAgain(path, base string, flags []string) hint.Command {
	words := append([]string{"lunserve", "commit"}, flags...)
	if base != "" {
		words = append(words, "--base", Typed(base))
	}
	return hint.Command{Words: append(words, hint.Path(path))}
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
