package backstores

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Rehearsal is what became of opening an image.
type Rehearsal struct {
	Facts
	// Temporary are the bytes that may be needed in [Options.TempDir] for what
	// is decompressed, or for writes that the image cannot take. It is 0 if
	// none are, and -1 if only decompressing could tell.
	Temporary int64
}

// Rehearse opens and locks the image at path as [Open] would, but does no work
// that takes long, and closes it again.
func Rehearse(path string, o Options) (Rehearsal, error) {
	o.Create, o.Notice, o.Progress = 0, nil, nil
	facts, store, err := Inspect(path, o)
	if store != nil {
		err = errors.Join(err, store.Close())
	}
	r := Rehearsal{Facts: facts}
	if facts.Format == Zstd || facts.Format == Simg {
		switch {
		case !facts.Random && facts.Size == 0:
			r.Temporary = -1
		case !o.ReadOnly || !facts.Random:
			r.Temporary = facts.Size
		}
		return r, err
	}
	// What Inspect does for reading, and says in fewer words.
	if store, err = Open(path, o); err != nil {
		return r, err
	}
	return r, store.Close()
}

// Room is how many bytes may be written to new files in dir.
func Room(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w; try --tmpdir DIR to name another", dir, err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return 0, fmt.Errorf("%s: cannot make files there: %w; try --tmpdir DIR to name another", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
