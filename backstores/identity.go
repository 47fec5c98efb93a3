package backstores

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An identity tells one base from another, and from itself after a change. The
// digest is of the file's first and last 64 KiB and of 62 blocks in between, as
// a file that is copied over another may have its time and size. What is
// decompressed is not looked at: that would take long, and says no more.
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
		return identity{}, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, err)
	}
	id := identity{size: st.Size, changed: st.Mtim.Nano()}
	if isBlock(st.Mode) {
		if id.size, _, err = measure(path, int(f.Fd()), true); err != nil {
			return identity{}, err
		}
		id.changed = 0
	}
	sum := sha256.New()
	add := func(off, n int64) {
		if err == nil {
			_, err = io.Copy(sum, io.NewSectionReader(f, off, n))
		}
	}
	add(0, identityEnds)
	for i := range int64(identitySamples) {
		add(id.size/identitySamples*i, blockBytes)
	}
	add(max(id.size-identityEnds, 0), identityEnds)
	if err != nil {
		return identity{}, err
	}
	sum.Sum(id.digest[:0])
	return id, nil
}

// check is nil if the base at path is the one that id is of.
func (id identity) check(path, overlay string) error {
	now, err := identify(path)
	switch {
	case err != nil:
		return err
	case now.size != id.size:
		return fmt.Errorf("%s: has %d bytes, and %s was made over one of %d; give the image it was made over", path, now.size, overlay, id.size)
	case now.digest != id.digest:
		return fmt.Errorf("%s: is another image than %s was made over, or was changed since", path, overlay)
	case now.changed != id.changed:
		then := time.Unix(0, id.changed)
		return fmt.Errorf("%s: was changed since %s was made over it; if it is a faithful copy, try touch -d %s %s",
			path, overlay, then.UTC().Format("2006-01-02T15:04:05.999999999Z"), quote(path))
	}
	return nil
}
