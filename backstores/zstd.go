package backstores

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/seekable"
)

// Defaults of [Options] for zstd. The window is what zstd -d takes without
// being told to.
const (
	defaultCacheSize = 256 << 20
	defaultMaxWindow = 128 << 20
	defaultTempDir   = "/var/tmp"
)

// A zstdImage is a disk in a zstd file of many frames. It cannot be written.
type zstdImage struct {
	file   *zstdFile
	reader *seekable.Reader
	closed atomic.Bool
}

// A zstdFile is an open and locked file with what is known of its frames.
type zstdFile struct {
	*os.File
	stat  unix.Stat_t
	facts Facts
	limit int64 // of a frame
	scan  *seekable.Scanned
	large error // seekable.ErrFrames, or nil
}

// openZstd opens the zstd file at path. Files whose frames can be told from a
// seek table or headers are open at once; others after work that o.Notice and
// o.Progress tell of.
func openZstd(path string, o Options) (Backstore, error) {
	f, err := scanZstd(path, o)
	if err != nil {
		return nil, err
	}
	if f.large == nil && !f.scan.Sized {
		err = f.size(o)
	}
	if f.large != nil && err == nil {
		defer f.Close()
		return unpackTemp(f, o)
	}
	var r *seekable.Reader
	if err == nil {
		r, err = f.reader(o)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &zstdImage{file: f, reader: r}, nil
}

// reader makes a reader of a file whose index is complete.
func (f *zstdFile) reader(o Options) (*seekable.Reader, error) {
	if f.scan.Size() == 0 {
		return nil, fmt.Errorf("%s: is empty once decompressed", f.Name())
	}
	r, err := seekable.NewReader(f, f.scan.Index, seekable.Config{Memory: o.CacheSize, Changed: f.changed})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return r, nil
}

// scanZstd opens and locks the file, and reads what its table or headers tell.
func scanZstd(path string, o Options) (_ *zstdFile, err error) {
	fd, err := openFile(path, 0, false, Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	f := &zstdFile{File: os.NewFile(uintptr(fd), path), limit: o.CacheSize / 4}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Fstat(fd, &f.stat); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := lock(path, fd, &f.stat, false); err != nil {
		return nil, err
	}
	if !isZstd(f, f.stat.Size) {
		return nil, fmt.Errorf("%s: is no zstd file; try --format raw", path)
	}
	f.scan, err = seekable.Scan(f, f.stat.Size, f.limit, o.progress(path+": reading frame headers"))
	if errors.Is(err, seekable.ErrFrames) {
		f.large = err
	} else if err != nil {
		return nil, f.bad(err)
	}
	f.facts = Facts{Format: Zstd, Stored: f.stat.Size, Frames: f.scan.Frames(), FrameSize: f.scan.MaxFrame(),
		Size: f.scan.Size(), Checksums: f.scan.Sums, Index: string(f.scan.Source), Random: f.large == nil && f.scan.Sized}
	if !f.facts.Random {
		f.facts.Frames, f.facts.FrameSize, f.facts.Size, f.facts.Index = f.scan.All, 0, 0, ""
		if f.scan.Sized {
			f.facts.Size = f.scan.Known
		}
	}
	return f, nil
}

// bad is the error of a file that is not what it should be.
func (f *zstdFile) bad(err error) error {
	try := "zstd -t " + quote(f.Name())
	if errors.Is(err, seekable.ErrDictionary) {
		try = "zstd -d -D DICTIONARY " + quote(f.Name()) + " -o " + quote(rawName(f.Name()))
	}
	return fmt.Errorf("%s: %w; try %s", f.Name(), err, try)
}

// changed is an error if the file is not what it was when it was indexed.
func (f *zstdFile) changed() error {
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return err
	}
	if now.Size != f.stat.Size || now.Mtim != f.stat.Mtim {
		return errors.New("the image was changed while it was served")
	}
	return nil
}

func (z *zstdImage) Size() int64  { return z.reader.Size() }
func (z *zstdImage) Facts() Facts { return z.file.facts }

func (z *zstdImage) Hits() (hits, misses uint64) { return z.reader.Hits() }

func (z *zstdImage) Close() error {
	if z.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", z.file.Name(), fs.ErrClosed)
	}
	return errors.Join(z.reader.Close(), z.file.Close())
}

func (z *zstdImage) ReadAt(p []byte, off int64) (int, error) {
	n, err := z.reader.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = z.failed("read", off, int64(len(p)), err)
	}
	return n, err
}

// ReadVec with NoWait copies what is decoded already.
func (z *zstdImage) ReadVec(bufs [][]byte, off int64, f Flag) error {
	n := length(bufs)
	err := within(z.Size(), off, n)
	switch {
	case err != nil:
	case f&NoWait == 0:
		err = z.reader.ReadVec(bufs, off, n)
	case n > longest:
		return ErrWouldBlock
	default:
		if err = z.reader.ReadCached(bufs, off, n); err == seekable.ErrNotCached {
			return ErrWouldBlock
		}
	}
	if err != nil {
		return z.failed("read", off, n, err)
	}
	return nil
}

// Extent tells holes from data by frames, as far as frames of zeros are known.
func (z *zstdImage) Extent(off int64) (int64, bool, error) {
	if err := within(z.Size(), off, 1); err != nil {
		return 0, false, z.failed("extent", off, 1, err)
	}
	n, hole := z.reader.Zero(off)
	return n, !hole, nil
}

func (z *zstdImage) failed(what string, off, n int64, err error) error {
	return fmt.Errorf("%s: %s %d bytes at %d: %w", z.file.Name(), what, n, off, err)
}
