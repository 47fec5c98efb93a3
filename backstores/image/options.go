package image

import "github.com/lunserve/lunserve/hint"

// The formats of [Options]. Auto, or an empty string, detects the format by the
// contents of the file.
const (
	Auto   = "auto"
	Raw    = "raw"
	Sparse = "sparse"
	Zstd   = "zstd"
	Qcow2  = "qcow2"
	Simg   = "simg" // Android sparse image
	VMDK   = "vmdk" // stream-optimized
)

// Options say how to open an image.
type Options struct {
	// ReadOnly opens the image for reading, and shares it with other readers.
	ReadOnly bool

	// Create, if above 0, makes a sparse file of this many bytes if the image
	// does not exist. An image that exists must have this size. A read-only
	// image is never created.
	Create int64

	// Format is the name of a format. Unless it is Auto the contents do not
	// matter: Raw serves any file as it is.
	Format string

	// Backing are the backing files of a qcow2 image, as paths or URLs: its own,
	// that of this one, and so on. The names in headers are not followed.
	Backing []string

	// CacheSize is the memory in bytes for decompressed data, and for what was
	// read from a URL. The images of a chain share it. MaxWindow is the
	// memory for the window of a file that is decompressed from end to end.
	// TempDir is for files that have no other place. Zero and an empty string
	// stand for the defaults.
	CacheSize, MaxWindow int64
	TempDir              string

	// Notice is called with work that takes long, as an error with a hint how to
	// avoid it, and with what was remembered of an image that is written.
	// Progress is called from one goroutine at a time. Either may be nil.
	Notice   func(error)
	Progress func(done, total int64, what string)

	URL URLOptions

	brief  bool  // Info has no numbers that take long to find out
	nested bool  // the disk may be a file of another format
	total  int64 // CacheSize, before it was divided
	little bool  // little of a file at a URL is going to be read
}

// URLOptions say how to open an image at a URL, see remote.Options.
type URLOptions struct {
	S3Endpoint, NetrcFile, CAFile string
	CacheDir                      string
	CacheLimit                    int64
}

// withDefaults fills in the empty fields, and divides the memory.
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
	if o.total == 0 {
		o.total = o.CacheSize
		o.CacheSize /= int64(len(o.Backing) + 1)
	}
	return o
}

// notice calls Notice with what is about to take long, and how to avoid it.
func (o Options) notice(what error, instead hint.Command) {
	if o.Notice != nil {
		o.Notice(hint.With(what, instead))
	}
}

// progress returns Progress for one job. It is never nil.
func (o Options) progress(what string) func(done, total int64) {
	if o.Progress == nil {
		return func(done, total int64) {}
	}
	return func(done, total int64) { o.Progress(done, total, what) }
}
