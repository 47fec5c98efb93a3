package overlay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// A BaseFile is the file of a base: an open file, or a file elsewhere. That may have
// a method Validator, for a text that tells its versions apart if it has no time.
type BaseFile interface {
	io.ReaderAt
	Name() string
	Stat() (fs.FileInfo, error)
}

// An identity distinguishes a base from other images, and from itself after a
// change. The digest is that of samples of the file, since a file that is copied
// over another can have its time and size. It covers the file, not what is
// decompressed from it, which would take long and say no more.
//
// An identity finds mistakes. It does not prove that a base is unchanged, since a
// change may miss all samples. It does not prove who made an overlay.
type identity struct {
	size    int64
	changed int64 // in ns since 1970; 0 for a device or a server without such a time
	digest  [sha256.Size]byte
}

// A sample is a range of a file.
type sample struct{ off, n int64 }

// samples returns the first and last 64 KiB of a file and 62 blocks in between.
func samples(size int64) []sample {
	const ends, between = 64 << 10, 62
	all := []sample{{0, ends}}
	for i := range int64(between) {
		all = append(all, sample{size / between * i, BlockBytes})
	}
	all = append(all, sample{max(size-ends, 0), ends})
	for i := range all {
		all[i].n = min(all[i].n, size-all[i].off)
	}
	return all
}

// readSamples returns the samples of a file, one after another. It reads all at
// the same time: the file may be far away.
func readSamples(r io.ReaderAt, size int64) ([]byte, error) {
	all := samples(size)
	parts, errs := make([][]byte, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		parts[i] = make([]byte, s.n)
		wg.Go(func() {
			if n, err := r.ReadAt(parts[i], s.off); n < len(parts[i]) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return bytes.Join(parts, nil), nil
}

// identify returns the identity of the base in a file.
func identify(f BaseFile) (id identity, err error) {
	st, err := f.Stat()
	if err != nil {
		return id, fmt.Errorf("%s: %w", f.Name(), cause(err))
	}
	if st.Mode()&fs.ModeDevice == 0 && !st.ModTime().IsZero() {
		id.changed = st.ModTime().UnixNano()
	}
	id.size = st.Size()
	if s, ok := f.(io.Seeker); ok { // a device has no size otherwise
		if id.size, err = s.Seek(0, io.SeekEnd); err != nil {
			return id, fmt.Errorf("%s: size: %w", f.Name(), err)
		}
	}
	p, err := readSamples(f, id.size)
	if err != nil {
		return id, fmt.Errorf("%s: %w", f.Name(), cause(err))
	}
	if v, ok := f.(interface{ Validator() string }); ok {
		p = append(p, v.Validator()...)
	}
	id.digest = sha256.Sum256(p)
	return id, nil
}

// ErrTime is the cause if a base differs from what an overlay records in its time
// only. It is refused: the samples may be the same although other blocks differ, as
// after the commit of another overlay. Only a person can know whether what both
// hold together is of use, and it must go to a new file.
var ErrTime = errors.New("was changed since, or copied or restored without its time")

// check returns an error unless the base in a file has this identity.
func (id identity) check(f BaseFile, overlay string) error {
	now, err := identify(f)
	switch {
	case err != nil:
		return err
	case now.size != id.size:
		return fmt.Errorf("%s: has %d bytes, and %s was made over one of %d; give the image it was made over", f.Name(), now.size, overlay, id.size)
	case now.digest != id.digest:
		return fmt.Errorf("%s: is not the image that %s was made over, or has changed since", f.Name(), overlay)
	case now.changed != id.changed:
		return fmt.Errorf("%s: has the time %s, and %s was made over it as of %s: it %w", f.Name(), timeOf(now.changed), overlay, timeOf(id.changed), ErrTime)
	}
	return nil
}

// timeOf returns a time in ns since 1970 as stat(1) prints it.
func timeOf(ns int64) string {
	if ns == 0 {
		return "of a device or server that has none"
	}
	return time.Unix(0, ns).Format("2006-01-02 15:04:05.000000000 -0700")
}

// cause returns the error in a path error of package os, which begins with the
// name of the call.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
