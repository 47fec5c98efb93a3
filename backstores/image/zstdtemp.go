package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/seekable"
	"github.com/lunserve/lunserve/hint"
)

// A tempImage is an image that was unpacked to a file without a name, which is
// gone when the image is closed. It is read-only: writes would be lost silently.
type tempImage struct {
	*raw.File
	info Info
	of   source // that was unpacked; perhaps closed
}

// Info implements [Describer].
func (t *tempImage) Info() Info { return t.info }

// ID returns the identity of the file that was unpacked.
func (t *tempImage) ID() (entry.ID, error) { return fileID(t.of) }

// Close closes the file, and what is kept open of an image at a URL.
func (t *tempImage) Close() error {
	err := t.File.Close()
	if r := elsewhere(t); r != nil && err == nil {
		err = r.Close()
	}
	return err
}

// Resize implements [backstores.Resizer]. The length of the temporary file never
// changes.
func (t *tempImage) Resize(int64) error { return fmt.Errorf("resize: %w", errors.ErrUnsupported) }

// unpackTemp unpacks a file that can only be read from end to end.
func unpackTemp(ctx context.Context, f *zstdFile, o Options) (_ *tempImage, err error) {
	if err := f.checkWindow(o); err != nil {
		return nil, err
	}
	what := "has frames of more than " + humanize.IBytes(uint64(f.limit)) + ", a quarter of --cache-size"
	switch {
	case f.scan.Unchecked:
		what = "has a seek table of too many different sizes to check"
	case f.info.Frames == 1:
		what = "is a single frame"
	case f.info.Frames > seekable.MaxFrameCount:
		what = fmt.Sprintf("has more than %s frames", humanize.Comma(seekable.MaxFrameCount))
	}
	size := "all of it"
	if f.info.Size > 0 {
		size = humanize.IBytes(uint64(f.info.Size))
	}
	o.notice(fmt.Errorf("%s: %s, and so has no random access; unpacking %s to %s first", f.Name(), what, size, o.TempDir),
		packCommand(f.Path(), o, f.info, "to make a file that can be served directly"))
	another := hint.Command{Words: []string{"--tmpdir", "DIR"}}
	to, err := raw.NewTemp(o.TempDir)
	if err != nil {
		return nil, hint.With(err, another)
	}
	defer func() {
		if err != nil {
			to.Close()
		}
	}()
	n, err := f.unpack(ctx, to, o)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: is empty after decompression", f.Name())
	}
	var file *raw.Writable
	if err == nil {
		file, err = to.Image(f.Name(), n)
	}
	if full, ok := errors.AsType[*raw.RoomError](err); ok {
		return nil, hint.With(fmt.Errorf("%s: unpack to %s: %w", f.Name(), o.TempDir, full), another)
	}
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			return nil, hint.With(fmt.Errorf("%s: unpack to %s: %w", f.Name(), o.TempDir, full), another)
		}
	}
	if err != nil {
		return nil, err
	}
	t := &tempImage{&file.File, f.info, f.source}
	t.info.Size, t.info.unpackedTo = n, o.TempDir
	return t, nil
}

// unpack decompresses f to w, from end to end, and returns the size. It skips
// zeros.
func (f *zstdFile) unpack(ctx context.Context, w io.WriterAt, o Options) (int64, error) {
	if err := f.checkWindow(o); err != nil {
		return 0, err
	}
	if err := reserve(w, f.leastData()); err != nil {
		return 0, fmt.Errorf("%s: unpacking: %w", f.Name(), err)
	}
	in := &countingReader{r: io.NewSectionReader(f, 0, f.size)}
	// A decoder with goroutines takes at least 7 µs for each frame.
	cores := 0
	if f.size/int64(f.scan.All+1) < 64<<10 {
		cores = 1
	}
	dec, err := zstd.NewReader(bufio.NewReaderSize(in, 128<<10), zstd.WithDecoderConcurrency(cores), zstd.WithDecoderMaxWindow(uint64(o.MaxWindow)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	defer dec.Close()
	what := f.Name() + ": unpacking"
	progress := o.progress(what)
	buf := make([]byte, 1<<20)
	for size := int64(0); ; {
		n, err := readChunk(dec, buf)
		if err := ctx.Err(); err != nil {
			return 0, named(ctx, what, err)
		}
		if werr := writeSparse(w, buf[:n], size); werr != nil {
			return 0, named(ctx, what, werr)
		}
		size += int64(n)
		if size > maxUnpacked {
			return 0, fmt.Errorf("%s: unpacks to more than %s", f.Name(), humanize.IBytes(maxUnpacked))
		}
		progress(in.n.Load(), f.size)
		switch err {
		case nil:
		case io.EOF:
			if err := f.Changed(); err != nil {
				return 0, fmt.Errorf("%s: %w", f.Name(), err)
			}
			return size, nil
		default:
			return 0, f.bad(ctx, what, fmt.Errorf("after %d bytes: %w", size, err))
		}
	}
}

// checkWindow returns an error if it takes too much memory to decompress f from
// end to end.
func (f *zstdFile) checkWindow(o Options) error {
	if f.scan.Window <= uint64(o.MaxWindow) {
		return nil
	}
	return hint.Try(fmt.Errorf("%s: needs a window of %s of memory to decompress", f.Name(), humanize.IBytes(f.scan.Window)),
		"--zstd-window", fmt.Sprint(f.scan.Window))
}

// readChunk reads until buf is full or r returns an error.
func readChunk(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	return n, err
}

// maxUnpacked is the longest file on ext4.
const maxUnpacked = 16 << 40

// A countingReader counts the bytes that the decoder reads, in its own goroutine.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
