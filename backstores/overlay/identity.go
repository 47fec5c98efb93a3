package overlay

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// An identity distinguishes a base from other images, and from itself after a
// change. The digest covers the first and last 64 KiB of the file and 62 blocks
// in between, since a file that is copied over another can have its time and
// size. It covers the file, not what is decompressed from it, which would take
// long and say no more.
type identity struct {
	size    int64
	changed int64 // in ns since 1970; 0 for a device, which has no such time
	digest  [sha256.Size]byte
}

const (
	identityEnds    = 64 << 10
	identitySamples = 62
)

func identify(path string) (identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, err)
	}
	id := identity{changed: st.Mtim.Nano()}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		id.changed = 0
	}
	if id.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return identity{}, fmt.Errorf("%s: size: %w", path, err)
	}
	sum := sha256.New()
	add := func(off, n int64) {
		if err == nil {
			_, err = io.Copy(sum, io.NewSectionReader(f, off, n))
		}
	}
	add(0, identityEnds)
	for i := range int64(identitySamples) {
		add(id.size/identitySamples*i, BlockBytes)
	}
	add(max(id.size-identityEnds, 0), identityEnds)
	if err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, cause(err))
	}
	sum.Sum(id.digest[:0])
	return id, nil
}

// check returns an error unless the base at path has this identity.
func (id identity) check(path, overlay string) error {
	now, err := identify(path)
	switch {
	case err != nil:
		return err
	case now.size != id.size:
		return fmt.Errorf("%s: has %d bytes, and %s was made over one of %d; give the image it was made over", path, now.size, overlay, id.size)
	case now.digest != id.digest:
		return fmt.Errorf("%s: is not the image that %s was made over, or has changed since", path, overlay)
	case now.changed != id.changed:
		then := time.Unix(0, id.changed).UTC().Format("2006-01-02T15:04:05.999999999Z")
		return hint.With(fmt.Errorf("%s: was changed since %s was made over it", path, overlay),
			hint.Command{Words: []string{"touch", "-d", then, hint.Path(path)}, Purpose: "if it is a faithful copy"})
	}
	return nil
}

// cause returns the error in a path error of package os, which begins with the
// name of the call.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
