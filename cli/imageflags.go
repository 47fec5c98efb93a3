package cli

import (
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/console"
)

// imageFlags select how an image is read. Their defaults are those of
// [image.Options].
type imageFlags struct {
	Format     string    `enum:"auto,raw,sparse,zstd,qcow2,simg" default:"auto" help:"Image format: ${enum}. auto detects it by the contents."`
	Backing    []string  `placeholder:"FILE" sep:"none" complete:"image" help:"Backing file of a qcow2 image. Repeat it for the backing file of that, and so on."`
	CacheSize  cacheSize `default:"256M" placeholder:"SIZE" help:"Memory for decompressed data."`
	ZstdWindow size      `default:"128M" placeholder:"SIZE" help:"Largest window to accept in a zstd file without random access."`
	TmpDir     string    `name:"tmpdir" default:"/var/tmp" placeholder:"DIR" complete:"dir" help:"Directory for temporary files, which may grow as large as the image."`
}

// options returns how to open an image.
func (f *imageFlags) options() image.Options {
	return image.Options{
		Format:    f.Format,
		Backing:   f.Backing,
		CacheSize: int64(f.CacheSize),
		MaxWindow: int64(f.ZstdWindow),
		TempDir:   f.TmpDir,
	}
}

// shown returns the options with messages on the console and progress in a bar.
func (f *imageFlags) shown(con *console.Console, bar *console.Bar) image.Options {
	o := f.options()
	// The hint of a notice, to pack the image, is for those who serve it.
	o.Notice = func(note error) { con.Say("%s", note) }
	o.Progress = bar.Show
	return o
}
