package image

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A guessed is a writable raw image whose format was not given. What was served
// raw and writable stays raw, whatever its guest writes: otherwise the guest
// would choose how its disk is read at the next start, and which commands the
// error of a refused image names.
//
// Only the first and the last sector decide what an image looks like. So a
// write to them is checked before it is done. If the image would then look like
// anything but a disk, an attribute of the file first remembers that it is raw.
// If that is impossible the write fails, like writes of archives to raw disks
// whose format QEMU has guessed. Remembering comes first because it is
// legitimate to write an archive to a disk.
//
// An image that looks like something else already, but is raw since a disk was
// found in it or since its format was given, is remembered at the first write:
// that disk may be gone afterwards.
//
// Writes to these sectors wait for each other: two may be harmless each alone
// and not together. Other writes do not wait.
type guessed struct {
	*raw.Writable
	path   string
	notice func(error)
	given  bool   // the format was given: no write fails
	like   string // what it looks like although it is raw, or empty

	remains *signature // every write is checked: the image looks like this

	kept atomic.Bool // nothing is checked any more
	told atomic.Bool // a write has failed
	mu   sync.Mutex  // held while a sector is checked and written, but not while it is synced
}

// keptRaw is the attribute of a file that is raw whatever it looks like. Its
// value is the name of the format.
const keptRaw = "user.lunserve.format"

func isKeptRaw(f *os.File) bool { return raw.Attr(int(f.Fd()), keptRaw) == Raw }

// A lookalike is a raw image that looks like something else and cannot be
// written.
type lookalike struct {
	*raw.File
	like string
}

// guess returns a raw image, whose format may have been given, as a store that
// remembers it.
func guess(s backstores.Backstore, path string, d detected, o Options) backstores.Backstore {
	switch s := s.(type) {
	case *raw.File:
		if d.looksLike != "" {
			return &lookalike{s, d.looksLike}
		}
	case *raw.Writable:
		g := &guessed{Writable: s, path: path, notice: o.Notice, given: o.Format != Auto && o.Format != "", like: d.looksLike, remains: d.remains}
		g.kept.Store(s.IsDevice() || d.looksLike != "")
		return g
	}
	return s
}

// decides reports whether n bytes at off decide what the image looks like. What
// is outside the image is left to the store.
func (g *guessed) decides(off, n int64) bool {
	size := g.Size()
	return !g.kept.Load() && n > 0 && off >= 0 && n <= size-off && (off < sectorBytes || off+n > tailAt(size) || g.remains != nil)
}

// after returns what the image looks like when the change is done.
func (g *guessed) after(c change) (*signature, error) {
	if g.remains != nil {
		return g.remains, nil
	}
	size := cmp.Or(c.size, g.Size())
	s := readSectors(zeroExtended{g.Writable}, size)
	if int64(len(s.head)+len(s.tail)) != 2*min(sectorBytes, size) {
		return nil, fmt.Errorf("%s: cannot read the first and the last sector", g.path)
	}
	c.apply(s.head, 0)
	c.apply(s.tail, tailAt(size))
	return look(s), nil
}

// checked does a change to a sector that decides.
func (g *guessed) checked(c change, do func() error) error {
	for !g.kept.Load() {
		like, err := g.checkAndDo(c, do)
		if like == nil || err != nil {
			return err
		}
		if err := g.keep(like); err != nil {
			return err
		}
	}
	return do()
}

// checkAndDo does the change, or returns what the image would look like.
func (g *guessed) checkAndDo(c change, do func() error) (*signature, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	like, err := g.after(c)
	if like == nil && err == nil {
		err = do()
	}
	return like, err
}

// keep remembers that the image is raw. If that is impossible, it returns the
// error of the write. Only the first names the cause, so that a guest cannot
// fill a log.
func (g *guessed) keep(like *signature) error {
	err := g.SetAttr(keptRaw, Raw)
	if err == nil || g.given {
		if !g.kept.Swap(true) && err == nil && g.notice != nil {
			g.notice(fmt.Errorf("%s: begins or ends like %s; it is served raw from now on, by its attribute %s", g.path, like.name, keptRaw))
		}
		return nil
	}
	if g.told.Swap(true) {
		return backstores.ErrProtected
	}
	return hint.With(fmt.Errorf("%s: %w: the image would look like %s at the next start, and its file system cannot store the attribute that keeps it raw: %w", g.path, backstores.ErrProtected, like.name, err),
		hint.Command{Words: []string{"--format", "raw"}, Purpose: "to serve it raw whatever it looks like"})
}

// stayRaw is for a raw image that is about to get what result holds, which a
// guest has written: if that looks like another format, it remembers that the
// image is raw, or returns an error. The states between have the old or the new
// sectors, so they look like nothing else.
func stayRaw(base, result backstores.Backstore, o Options) error {
	g, ok := base.(*guessed)
	if !ok {
		return nil
	}
	g.given = o.Format != Auto && o.Format != ""
	if like := look(readSectors(result, result.Size())); like != nil && !g.kept.Load() {
		return g.keep(like)
	}
	return nil
}

// WriteAt implements [io.WriterAt].
func (g *guessed) WriteAt(p []byte, off int64) (int, error) {
	if !g.decides(off, int64(len(p))) {
		return g.Writable.WriteAt(p, off)
	}
	done := 0
	err := g.checked(change{off: off, n: int64(len(p)), bufs: [][]byte{p}}, func() (err error) {
		done, err = g.Writable.WriteAt(p, off)
		return err
	})
	return done, err
}

// WriteVec implements [backstores.VectorWriter].
func (g *guessed) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	n := backstores.Length(bufs)
	if !g.decides(off, n) {
		return g.Writable.WriteVec(bufs, off, f)
	}
	if f&backstores.NoWait != 0 {
		return backstores.ErrWouldBlock
	}
	err := g.checked(change{off: off, n: n, bufs: bufs}, func() error { return g.Writable.WriteVec(bufs, off, 0) })
	if err == nil && f&backstores.Durable != 0 {
		err = g.Flush() // not under the lock
	}
	return err
}

// Trim implements [backstores.Trimmer].
func (g *guessed) Trim(off, n int64) error {
	if !g.decides(off, n) {
		return g.Writable.Trim(off, n)
	}
	return g.checked(change{off: off, n: n}, func() error { return g.Writable.Trim(off, n) })
}

// Zero implements [backstores.Zeroer].
func (g *guessed) Zero(off, n int64) error {
	if !g.decides(off, n) {
		return g.Writable.Zero(off, n)
	}
	return g.checked(change{off: off, n: n}, func() error { return g.Writable.Zero(off, n) })
}

// Resize implements [backstores.Resizer]. Another sector becomes the last.
func (g *guessed) Resize(n int64) error {
	if g.kept.Load() {
		return g.Writable.Resize(n)
	}
	g.mu.Lock()
	if n == 0 { // others have done it
		err := g.Writable.Resize(0)
		like, _ := g.after(change{})
		g.mu.Unlock()
		if err == nil && like != nil {
			_ = g.keep(like) // no write to refuse
		}
		return err
	}
	g.mu.Unlock()
	return g.checked(change{size: n}, func() error { return g.Writable.Resize(n) })
}
