package cli

import (
	"cmp"
	"os"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/console"
)

// imageFlags select how an image is read. Their defaults are those of
// [image.Options].
type imageFlags struct {
	Format     string    `enum:"auto, raw, sparse, zstd, qcow2, simg, vmdk" default:"auto" help:"Image format: ${enum}. auto detects it by the contents."`
	Backing    []string  `placeholder:"FILE" sep:"none" complete:"image" help:"Backing file of a qcow2 image, or its URL. Repeat it for the backing file of that, and so on."`
	CacheSize  cacheSize `default:"256M" placeholder:"SIZE" help:"Memory for decompressed data and for what was read from a URL."`
	ZstdWindow size      `default:"128M" placeholder:"SIZE" help:"Largest window to accept in a zstd file without random access."`
	TmpDir     string    `name:"tmpdir" placeholder:"DIR" complete:"dir" help:"Directory for temporary files, which may grow as large as the image. The default is $$TMPDIR, or /var/tmp."`

	urlFlags `group:"url"`
}

// urlFlags say how an image at a URL is read.
type urlFlags struct {
	CacheDir   string `placeholder:"DIR" complete:"dir" help:"Keep what was read from URLs in DIR, for other runs. DIR must be yours alone to write."`
	CacheLimit size   `default:"10G" placeholder:"SIZE" help:"Disk space for --cache-dir."`
	NetrcFile  string `placeholder:"FILE" complete:"file" help:"Log in to web servers as FILE says, in the format of netrc. FILE must be readable by its owner only."`
	CAFile     string `name:"ca-file" placeholder:"FILE" complete:"file" help:"Trust the authorities whose certificates are in FILE, besides those of the system."`
	S3Endpoint string `name:"s3-endpoint" placeholder:"URL" help:"Server of s3:// images. The default is AWS_ENDPOINT_URL, or AWS. Region and keys are those of the AWS CLI."`
}

// options returns how to open an image.
func (f *imageFlags) options() image.Options {
	return image.Options{
		Format:    f.Format,
		Backing:   f.Backing,
		CacheSize: int64(f.CacheSize),
		MaxWindow: int64(f.ZstdWindow),
		TempDir:   f.tempDir(),
		URL: image.URLOptions{
			S3Endpoint: f.S3Endpoint,
			NetrcFile:  f.NetrcFile,
			CAFile:     f.CAFile,
			CacheDir:   f.CacheDir,
			CacheLimit: int64(f.CacheLimit),
		},
	}
}

// tempDir returns the directory for temporary files.
func (f *imageFlags) tempDir() string { return cmp.Or(f.TmpDir, os.Getenv("TMPDIR"), "/var/tmp") }

// inputs returns the files that an image is read from.
func (f *imageFlags) inputs(path string) []string { return append([]string{path}, f.Backing...) }

// shown returns the options with messages on the console and progress in a bar.
func (f *imageFlags) shown(con *console.Console, bar *console.Bar) image.Options {
	o := f.options()
	// The hint of a notice, to pack the image, is for those who serve it.
	o.Notice = func(note error) { con.Say("%s", note) }
	o.Progress = bar.Show
	return o
}
