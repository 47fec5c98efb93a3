package image

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/hint"
)

// A detected is the format of an image, and what the image looks like if that
// is something else.
type detected struct {
	format    string
	looksLike string // such as "a qcow2 image", or empty

	// remains is set if the file is raw although it has this signature, because
	// of a disk that was found or of the format that was given: both may be
	// missing next time.
	remains *signature
}

// detect returns the format of the file or block device at path. The contents
// decide, unless a format is given, with these exceptions, since a guest may
// have written the contents:
//
//   - What was served raw and writable stays raw, whatever its guest writes: see
//     [guessed].
//   - A block device is raw. There is no place where to remember that it was
//     served raw, and an archive on a device was written there on purpose.
//
// A file that begins like an archive but has partitions or a file system is a
// disk with the remains of something else. A file that cannot be read counts as
// raw, since opening it returns a better error.
func detect(path string, device bool, want string) (detected, error) {
	if device && want == Zstd {
		return detected{}, hint.With(fmt.Errorf("%s: zstd data can be served from a file only", path),
			hint.Command{Words: []string{"--format", "raw"}, Purpose: "to serve the device as it is"})
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return decide(path, nil, 0, want, nil)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return decide(path, nil, 0, want, nil)
	}
	return decide(path, f, size, want, func() bool { return device || isKeptRaw(f) })
}

// decide returns the format of a file of this size. If there is none it counts as
// raw. staysRaw reports whether it is raw whatever it holds; it is called after the
// contents were read, since what is remembered is stored before they are written.
func decide(path string, file io.ReaderAt, size int64, want string, staysRaw func() bool) (detected, error) {
	is, given := detected{format: Raw}, false
	switch want {
	case Auto, "":
	case Raw, Sparse:
		is.format, given = want, true
	case Zstd, Qcow2, Simg, VMDK:
		return detected{format: want}, nil
	default:
		return detected{}, hint.Try(fmt.Errorf("%s: unknown format %q", Name(path), want), "--format", "auto")
	}
	if file == nil {
		return is, nil
	}
	s := readSectors(file, size)
	like := look(s)
	switch {
	case like == nil:
		return is, nil
	case given || !like.last && contents.IsDisk(file, size):
		if !staysRaw() {
			is.remains = like
		}
		return is, nil
	case staysRaw():
		is.looksLike = like.name
		return is, nil
	case like.format != "":
		return detected{format: like.format}, nil
	}
	return detected{}, refuse(&candidate{path, s, file, size}, like)
}

// refuse returns the error of a file that lunserve does not read.
func refuse(c *candidate, like *signature) error {
	if overlay.IsOverlay(c.start()) {
		like = &anOverlay
	}
	err := fmt.Errorf("%s: is %s", Name(c.path), like.name)
	if like.of != nil {
		err = fmt.Errorf("%w of %s", err, like.of(c))
	}
	switch {
	case like.try == nil:
		return err
	case IsURL(c.path):
		return hint.With(err, download(c.path, c.file))
	}
	return hint.With(err, like.try(c)...)
}

// existsAs is the error of an image that was to be created.
func existsAs(path, format string) error {
	return fmt.Errorf("%s: exists and is a %s file; leave out --size to serve it as it is", path, format)
}
