package cli

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/serve/console"
)

// imageFlags say how an image is read. Their defaults are those of
// [backstores.Options].
type imageFlags struct {
	Format     string `enum:"auto,raw,sparse,zstd,simg" default:"auto" help:"Image format: ${enum}. auto detects it by the contents."`
	CacheSize  size   `default:"256M" placeholder:"SIZE" help:"Memory for decompressed data."`
	ZstdWindow size   `default:"128M" placeholder:"SIZE" help:"Largest window to accept in a zstd file without random access."`
	TmpDir     string `name:"tmpdir" default:"/var/tmp" placeholder:"DIR" complete:"dir" help:"Directory for temporary files, which may grow as large as the image."`
}

// options returns how to open an image.
func (f *imageFlags) options() backstores.Options {
	return backstores.Options{
		Format:    f.Format,
		CacheSize: int64(f.CacheSize),
		MaxWindow: int64(f.ZstdWindow),
		TempDir:   f.TmpDir,
	}
}

// shown returns the options with messages on the console and progress in a bar.
// ctx ends long work.
func (f *imageFlags) shown(ctx context.Context, con *console.Console, bar *console.Bar) backstores.Options {
	o := f.options()
	o.Notice = func(line string) { con.Say("%s", line) }
	o.Progress = func(done, total int64, what string) error {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: interrupted", what)
		}
		bar.Show(done, total, what)
		return nil
	}
	return o
}
