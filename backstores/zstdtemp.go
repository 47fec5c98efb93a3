package backstores

import (
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A tempImage is a raw image, unpacked to a file without a name that goes with
// it. It cannot be written: what was written would be lost without a word.
type tempImage struct {
	raw
	facts Facts
}

func (t *tempImage) Facts() Facts { return t.facts }

// Resize: the file's length was never that of the disk.
func (t *tempImage) Resize(int64) error { return cannot("resize") }

// unpackTemp unpacks a file that can be read only from end to end.
func unpackTemp(f *zstdFile, o Options) (_ Backstore, err error) {
	what := "has frames of more than " + humanize.IBytes(uint64(f.limit)) + ", a quarter of --cache-size"
	if f.facts.Frames == 1 {
		what = "is a single frame"
	}
	size := "all of it"
	if f.facts.Size > 0 {
		size = humanize.IBytes(uint64(f.facts.Size))
	}
	o.notice("%s: %s, and so has no random access; unpacking %s to %s first. Try %s to make a file that is served at once",
		f.Name(), what, size, o.TempDir, packLine(f.Name()))
	d, err := newDraft(o.TempDir, private)
	if err != nil {
		return nil, fmt.Errorf("%w; try --tmpdir DIR", err)
	}
	d.forget()
	n, err := f.unpack(fdWriter(d.fd), o)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: is empty once decompressed", f.Name())
	}
	if err == nil {
		err = unix.Ftruncate(d.fd, n)
	}
	if err != nil {
		unix.Close(d.fd)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
			return nil, fmt.Errorf("%s: unpack to %s: %w; try --tmpdir DIR", f.Name(), o.TempDir, err)
		}
		return nil, err
	}
	t := &tempImage{facts: f.facts}
	t.facts.Size, t.facts.unpacked = n, o.TempDir
	t.open(f.Name(), d.fd, n, 1)
	return t, nil
}

// unpack decompresses all of f to w, from end to end, and returns the size. Of
// zeros nothing is written.
func (f *zstdFile) unpack(w io.WriterAt, o Options) (int64, error) {
	if f.scan.Window > uint64(o.MaxWindow) {
		return 0, fmt.Errorf("%s: takes a window of %s of memory to decompress; try --zstd-window %d",
			f.Name(), humanize.IBytes(f.scan.Window), f.scan.Window)
	}
	in := &counted{r: io.NewSectionReader(f, 0, f.stat.Size)}
	dec, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxWindow(uint64(o.MaxWindow)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	defer dec.Close()
	progress := o.progress(f.Name() + ": unpacking")
	buf := make([]byte, 1<<20)
	for size := int64(0); ; {
		var n int
		var err error
		for n < len(buf) && err == nil {
			var k int
			k, err = dec.Read(buf[n:])
			n += k
		}
		if werr := writeSparse(w, buf[:n], size); werr != nil {
			return 0, werr
		}
		size += int64(n)
		if size > maxUnpacked {
			return 0, fmt.Errorf("%s: unpacks to more than %s", f.Name(), humanize.IBytes(maxUnpacked))
		}
		if progress != nil {
			if err := progress(in.n, f.stat.Size); err != nil {
				return 0, err
			}
		}
		switch err {
		case nil:
		case io.EOF:
			if err := f.changed(); err != nil {
				return 0, fmt.Errorf("%s: %w", f.Name(), err)
			}
			return size, nil
		default:
			return 0, f.bad(fmt.Errorf("after %d bytes: %w", size, err))
		}
	}
}

// maxUnpacked is the longest file that ext4 can hold.
const maxUnpacked = 16 << 40

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
