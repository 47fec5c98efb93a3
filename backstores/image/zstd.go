package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/seekable"
	"github.com/lunserve/lunserve/hint"
)

// Defaults of [Options] for zstd. The window is the largest that zstd -d accepts
// without an option.
const (
	defaultCacheSize = 256 << 20
	defaultMaxWindow = 128 << 20
	defaultTempDir   = "/var/tmp"
)

// A zstdImage is a disk in a zstd file of many frames. It is read-only.
type zstdImage struct {
	file   *zstdFile
	reader *seekable.Reader
	closed atomic.Bool
}

// A zstdFile is an open zstd file and its frames.
type zstdFile struct {
	source
	size   int64
	info   Info
	memory int64 // for frames, in bytes
	limit  int64 // of a frame
	scan   *seekable.Scanned
	large  error // seekable.ErrFrames, or nil
}

// openZstd returns the disk in a zstd file, and takes the file over. A file with
// a seek table, or with sizes in its frame headers, opens immediately. Other files
// take work, which is reported to o.Notice and o.Progress.
func openZstd(ctx context.Context, file source, o Options) (backstores.Backstore, error) {
	if err := peekNested(file, o); err != nil { // before it is unpacked
		file.Close()
		return nil, err
	}
	f, err := scanZstd(ctx, file, o)
	if err != nil {
		return nil, err
	}
	return f.open(ctx, o)
}

// open returns the disk in f, and takes f over.
func (f *zstdFile) open(ctx context.Context, o Options) (_ backstores.Backstore, err error) {
	if f.large == nil && !f.scan.Sized {
		err = f.findSizes(ctx, o)
	}
	if f.large != nil && err == nil {
		t, err := unpackTemp(ctx, f, o)
		if err != nil || elsewhere(t) == nil {
			f.Close()
		}
		return t, err
	}
	var r *seekable.Reader
	if err == nil {
		r, err = f.reader()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &zstdImage{file: f, reader: r}, nil
}

// reader returns a reader for a file whose index is complete.
func (f *zstdFile) reader() (*seekable.Reader, error) {
	if f.scan.Size() == 0 {
		return nil, fmt.Errorf("%s: is empty after decompression", f.Name())
	}
	r, err := seekable.NewReader(f, f.scan.Index, seekable.Config{Memory: f.memory, Reads: reads(f.source), Changed: f.Changed})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return r, nil
}

// scanZstd reads the seek table or the headers of a file. It takes the file over,
// and closes it if it fails.
func scanZstd(ctx context.Context, file source, o Options) (_ *zstdFile, err error) {
	f := &zstdFile{source: file, size: file.Size(), memory: o.memory(file, 4)}
	f.limit = f.memory / 4
	path := f.Name()
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if !isZstd(readSectors(f, f.size)) {
		return nil, hint.Try(fmt.Errorf("%s: is not a zstd file", path), "--format", "auto")
	}
	what := path + ": reading frame headers"
	f.scan, err = seekable.Scan(ctx, f, f.size, f.limit, o.progress(what))
	if errors.Is(err, seekable.ErrFrames) {
		f.large = err
		if f.scan.All > seekable.MaxFrameCount {
			debug.FreeOSMemory() // of an index that became too large
		}
	} else if err != nil {
		return nil, f.bad(ctx, what, err)
	}
	f.info = Info{Format: Zstd, Stored: f.size, Frames: f.scan.Frames(), FrameSize: f.scan.MaxFrame(),
		Size: f.scan.Size(), Checksums: f.scan.Sums, Index: string(f.scan.Source), Random: f.large == nil && f.scan.Sized}
	if !f.info.Random {
		f.info.endToEnd, f.info.window = f.large != nil, f.scan.Window
		f.info.Frames, f.info.FrameSize, f.info.Size, f.info.Index = f.scan.All, 0, 0, ""
		if f.scan.Sized {
			f.info.Size = f.scan.Known
		}
	}
	return f, nil
}

// bad returns the error of a damaged file, or that of a job that ctx has ended.
func (f *zstdFile) bad(ctx context.Context, what string, err error) error {
	if err == ctx.Err() {
		return named(ctx, what, err)
	}
	if IsURL(f.Path()) {
		return hint.With(fmt.Errorf("%s: %w", f.Name(), err), download(f.Path(), f.source))
	}
	try := hint.Command{Words: []string{"zstd", "-t", hint.Path(f.Name())}}
	if errors.Is(err, seekable.ErrDictionary) {
		try.Words = []string{"zstd", "-d", "-D", "DICTIONARY", hint.Path(f.Name()), "-o", hint.Path(hint.Free(rawName(f.Name())))}
	}
	return hint.With(fmt.Errorf("%s: %w", f.Name(), err), try)
}

// Size implements [backstores.Backstore].
func (z *zstdImage) Size() int64 { return z.reader.Size() }

// Info implements [Describer].
func (z *zstdImage) Info() Info { return z.file.info }

// ID returns the identity of the file.
func (z *zstdImage) ID() (entry.ID, error) { return fileID(z.file.source) }

// Hits returns how often a read found its frame decoded, see [backstores.Hits].
func (z *zstdImage) Hits() (hits, misses uint64) { return z.reader.Hits() }

// Close closes the file, which also releases its locks.
func (z *zstdImage) Close() error {
	if z.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", z.file.Name(), fs.ErrClosed)
	}
	cancel(z.file.source)
	return errors.Join(z.reader.Close(), z.file.Close())
}

// ReadAt implements [io.ReaderAt].
func (z *zstdImage) ReadAt(p []byte, off int64) (int, error) {
	n, err := z.reader.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = z.failed("read", off, int64(len(p)), err)
	}
	return n, err
}

// maxNoWait is the longest read under NoWait: its copy also delays other
// commands.
const maxNoWait = 1 << 20

// ReadVec implements [backstores.VectorReader]. Under NoWait it copies what is
// decoded already.
func (z *zstdImage) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	n := backstores.Length(bufs)
	err := backstores.CheckRange(z.Size(), off, n)
	switch {
	case err != nil:
	case f&backstores.NoWait != 0 && n > maxNoWait:
		return backstores.ErrWouldBlock
	default:
		err = z.reader.ReadVec(bufs, off, n, f&backstores.NoWait == 0)
	}
	if err != nil && err != backstores.ErrWouldBlock {
		err = z.failed("read", off, n, err)
	}
	return err
}

// Extent implements [backstores.Extenter]. Holes are the frames that are known
// to be zeros.
func (z *zstdImage) Extent(off int64) (int64, bool, error) {
	if err := backstores.CheckRange(z.Size(), off, 1); err != nil {
		return 0, false, z.failed("extent", off, 1, err)
	}
	n, hole := z.reader.Zero(off)
	return n, !hole, nil
}

func (z *zstdImage) failed(what string, off, n int64, err error) error {
	return fmt.Errorf("%s: %s %d bytes at %d: %w", z.file.Name(), what, n, off, err)
}
