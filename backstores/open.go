package backstores

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say how to open an image.
type Options struct {
	// ReadOnly opens it so that it cannot be changed, and shares it with
	// others who only read.
	ReadOnly bool

	// Create, if above 0, makes a sparse file of this many bytes where there
	// is none. What is there must have this size. A read-only image is never
	// made.
	Create int64

	// Format is one of the formats' names. A format by name is not looked for
	// in the contents: Raw serves anything as it is.
	Format string

	// CacheSize is the memory for what is decompressed, in bytes, and
	// MaxWindow what decompressing a file from end to end may take for its
	// window. TempDir is for files that have no other place. Zero or empty
	// means the default.
	CacheSize, MaxWindow int64
	TempDir              string

	// Notice is told, in a line, of work that takes long and of what makes it
	// unnecessary. Progress is then told how much of it is done, from one
	// goroutine at a time; its error ends the work. Either may be nil.
	Notice   func(line string)
	Progress func(done, total int64, what string) error
}

// withDefaults fills in what is left empty.
func (o Options) withDefaults() Options {
	if o.CacheSize <= 0 {
		o.CacheSize = defaultCacheSize
	}
	if o.MaxWindow <= 0 {
		o.MaxWindow = defaultMaxWindow
	}
	if o.TempDir == "" {
		o.TempDir = defaultTempDir
	}
	return o
}

func (o Options) notice(format string, a ...any) {
	if o.Notice != nil {
		o.Notice(fmt.Sprintf(format, a...))
	}
}

// progress is Progress of one job, or nil.
func (o Options) progress(what string) func(done, total int64) error {
	if o.Progress == nil {
		return nil
	}
	return func(done, total int64) error { return o.Progress(done, total, what) }
}

// Open opens and locks the image at path, a regular file or a block device.
// The store is an [io.WriterAt] unless it is opened ReadOnly, or is of a format
// that cannot be written.
//
// Each error is one line that begins with path and tells, where that is known,
// what to type. A file that Open made is gone again if it fails.
func Open(path string, o Options) (_ Backstore, err error) {
	if path == "" {
		return nil, errors.New("no image given; try lunserve disk.img")
	}
	// A look before the open: opening a pipe waits for its other end, and
	// opening a character device may do anything.
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	missing := err == unix.ENOENT
	switch {
	case missing && o.Create > 0 && !o.ReadOnly:
	case missing:
		return nil, fmt.Errorf("%s: %w; try lunserve --size 10G %s to make one", path, err, quote(path))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	default:
		if err := servable(path, st.Mode); err != nil {
			return nil, err
		}
		format, err := detect(path, st.Mode, o.Format)
		if err != nil {
			return nil, err
		}
		if format == Zstd || format == Simg {
			if o.Create > 0 {
				return nil, fmt.Errorf("%s: exists and is a %s file; try lunserve %s to serve it as it is", path, format, quote(path))
			}
			if format == Simg {
				return openSimgFile(path)
			}
			return openZstd(path, o.withDefaults())
		}
	}

	fd, err := openFile(path, st.Mode, missing, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		unix.Close(fd)
		if missing {
			unix.Unlink(path)
		}
	}()

	// What was opened may be another file than what was looked at.
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := servable(path, st.Mode); err != nil {
		return nil, err
	}
	if err := lock(path, fd, &st, !o.ReadOnly); err != nil {
		return nil, err
	}
	if missing { // nobody had a new file as long as it was empty
		if err := unix.Ftruncate(fd, o.Create); err != nil {
			return nil, fmt.Errorf("%s: make a file of %d bytes: %w", path, o.Create, err)
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
		st.Size = o.Create
	}
	size, block := st.Size, int64(1)
	if isBlock(st.Mode) {
		if size, block, err = measure(path, fd, o.ReadOnly); err != nil {
			return nil, err
		}
	}
	if err := sized(path, size, st.Mode, o.Create); err != nil {
		return nil, err
	}

	if o.ReadOnly {
		r := new(raw)
		r.open(path, fd, size, block)
		return r, nil
	}
	w := new(writableRaw)
	w.open(path, fd, size, block)
	return w, nil
}

// openFile opens, or makes if it is missing, what is found at path.
func openFile(path string, mode uint32, missing bool, o Options) (int, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	switch {
	case o.ReadOnly:
		flags = unix.O_RDONLY | unix.O_CLOEXEC
	case missing:
		flags |= unix.O_CREAT | unix.O_EXCL
	case isBlock(mode):
		flags |= unix.O_EXCL // no other user of the device in the kernel or here
	}
	fd, err := openMode(path, flags, 0o666) // less the umask: what a shell would make
	if err == nil {
		return fd, nil
	}
	switch hint := ""; err {
	case unix.ENOENT:
		if missing {
			hint = "; try mkdir -p " + quote(filepath.Dir(path))
		}
		return -1, fmt.Errorf("%s: %w%s", path, err, hint)
	case unix.EBUSY:
		return -1, busy(path, err)
	case unix.EACCES, unix.EPERM, unix.EROFS, unix.ETXTBSY:
		// Reading may be refused for the same reason, and making surely is.
		if !o.ReadOnly && !missing && unix.Access(path, unix.R_OK) == nil {
			hint = "; try lunserve -r " + quote(path)
		}
		return -1, fmt.Errorf("%s: cannot be opened%s: %w%s", path, forWhat(o), err, hint)
	}
	return -1, fmt.Errorf("%s: %w", path, err)
}

func forWhat(o Options) string {
	if o.ReadOnly {
		return ""
	}
	return " for writing"
}

// servable refuses what is neither a regular file nor a block device.
func servable(path string, mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
		return nil
	case unix.S_IFDIR:
		return fmt.Errorf("%s: is a directory, not an image; try ls %s to find one", path, quote(path))
	case unix.S_IFIFO:
		return fmt.Errorf("%s: is a pipe, which has no random access; try cat %s >disk.img", path, quote(path))
	case unix.S_IFCHR:
		return fmt.Errorf("%s: is a character device, not an image; try lsblk to find a block device", path)
	}
	return fmt.Errorf("%s: is neither a file nor a block device", path)
}

// sized refuses an image that is empty or, if want is above 0, of another size.
func sized(path string, size int64, mode uint32, want int64) error {
	switch {
	case size == 0 && isBlock(mode):
		return fmt.Errorf("%s: is empty, a device without a medium", path)
	case size == 0 && want > 0:
		return fmt.Errorf("%s: exists and is empty; try truncate -s %d %s", path, want, quote(path))
	case size == 0:
		return fmt.Errorf("%s: is empty; try truncate -s 10G %s", path, quote(path))
	case want > 0 && size != want:
		return fmt.Errorf("%s: exists and has %d bytes, not %d; try lunserve %s to serve it as it is",
			path, size, want, quote(path))
	}
	return nil
}

func isBlock(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFBLK }

// quote gives path as it is typed to a shell.
func quote(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	const plain = "/._-+,:=@%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if !strings.ContainsFunc(path, func(r rune) bool { return r < 128 && !strings.ContainsRune(plain, r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
