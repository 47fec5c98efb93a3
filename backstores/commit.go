package backstores

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Merge is an overlay on its way into its base, or into a new image.
type Merge struct {
	// Base is where the base is, if not where it was when the overlay was made.
	Base string

	// Options say how to read the base, and whom to tell of progress. If that
	// returns an error, the work ends with it.
	Options Options
}

// Commit writes the changes kept in the overlay at path into its base, a raw
// image, and removes the overlay. Neither may be in use.
//
// It may be interrupted at any point and is then to be done again: the overlay
// says that its base is being changed, and only commit will have it, until all
// of it is in the base and durable. The base counts as the one it was as long
// as what the overlay does not change is as it was. From then on the base may
// change: an overlay that is still there, by another name or because it could
// not be removed, says that it is done, and nobody will have it.
func (m Merge) Commit(path string) (err error) {
	o, err := openOverlay(path, false)
	if err != nil {
		return err
	}
	defer o.file.Close()
	if o.header.record.done {
		return removeDone(path)
	}
	name := m.name(o)
	if o.header.format != Raw {
		return fmt.Errorf("%s: is no raw image, and cannot be written; try lunserve commit %s -o disk.img", name, quote(path))
	}
	base, err := m.open(o, name, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	if err := o.over(base, name); err != nil {
		return err
	}
	// What only the marks know must be in the map before the base changes.
	if err := o.Flush(); err != nil {
		return err
	}
	if err := o.begin(); err != nil {
		return err
	}
	total := o.changed.blocks() * blockBytes
	did := m.counter("committing", total)
	for off := int64(0); off < o.size; {
		same, present := o.changed.run(off, o.size-off)
		if !present {
			off += same
			continue
		}
		if err := copyExtents(base, o, off, same, true, did); err != nil {
			return fmt.Errorf("%s is half in its base, and neither can be used before it is all: %w; try lunserve commit %s", path, err, quote(path))
		}
		off += same
	}
	if err := Flush(base); err != nil {
		return err
	}
	if err := o.end(); err != nil {
		return err
	}
	return removeDone(path)
}

// removeDone removes an overlay that is in its base, and the link if it is
// found by one.
func removeDone(path string) error {
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
		return fmt.Errorf("%s: is in its base, and cannot be removed: %w", path, err)
	}
	return errors.Join(syncDir(filepath.Dir(real)), syncDir(filepath.Dir(path)))
}

// Export writes what the overlay at path and its base hold together into a new
// raw image, which appears when it is complete.
func (m Merge) Export(path, out string, replace bool) (err error) {
	o, err := openOverlay(path, true)
	if err != nil {
		return err
	}
	defer o.file.Close()
	name := m.name(o)
	base, err := m.open(o, name, true)
	if err != nil {
		return err
	}
	defer base.Close()
	if err := o.over(base, name); err != nil {
		return err
	}
	to, err := NewOutput(out, replace, path, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := to.Truncate(o.size); err != nil {
		return err
	}
	file := new(writableRaw) // closed as to
	file.open(out, to.fd, o.size, 1)
	if err := copyExtents(file, o, 0, o.size, false, m.counter("writing "+out, o.size)); err != nil {
		return err
	}
	return to.Complete()
}

// open opens the base in the format that it had.
func (m Merge) open(o *overlay, path string, readOnly bool) (Backstore, error) {
	opts := m.Options
	opts.ReadOnly = readOnly
	if o.header.format == Raw {
		opts.Format = Raw
	}
	return Open(path, opts)
}

func (m Merge) name(o *overlay) string {
	if m.Base != "" {
		return m.Base
	}
	return o.header.base
}

// counter returns what is told of each piece that is done.
func (m Merge) counter(what string, total int64) func(n int64) error {
	done := int64(0)
	return func(n int64) error {
		done += n
		if m.Options.Progress == nil {
			return nil
		}
		return m.Options.Progress(done, total, what)
	}
}

// copyExtents copies n bytes at off from one store to the same place in
// another. Holes are trimmed, or left alone in one that is all zeros.
func copyExtents(to, from Backstore, off, n int64, trim bool, did func(int64) error) error {
	p := make([]byte, 1<<20)
	for end := off + n; off < end; {
		extent, data, err := Extent(from, off)
		if err != nil {
			return err
		}
		extent = min(extent, end-off)
		switch {
		case data:
			extent = min(extent, int64(len(p)))
			bufs := [][]byte{p[:extent]}
			if err = ReadVec(from, bufs, off, 0); err == nil {
				err = WriteVec(to, bufs, off, 0)
			}
		case trim:
			err = Trim(to, off, extent)
		}
		if err != nil {
			return err
		}
		off += extent
		if err := did(extent); err != nil {
			return err
		}
	}
	return nil
}
