package main

import (
	"context"
	"errors"
	"fmt"
	"github.com/lunserve/lunserve/serve/console"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
)

// readFlags say how images are read, whichever format they have. The defaults
// are those of [backstores.Options].
type readFlags struct {
	Format     string `enum:"auto,raw,sparse,zstd,simg" default:"auto" help:"Format of the image: ${enum}; auto goes by its contents."`
	CacheSize  size   `default:"256M" placeholder:"SIZE" help:"Memory for what is decompressed."`
	ZstdWindow size   `default:"128M" placeholder:"SIZE" help:"Memory that a zstd file without random access may ask for, to be decompressed."`
	TmpDir     string `name:"tmpdir" default:"/var/tmp" placeholder:"DIR" complete:"dir" help:"Folder for temporary files, as large as an image."`
}

// options are those of [backstores.Open]. What takes long is shown by b and
// ends with ctx.
func (f *readFlags) options(ctx context.Context, b *console.Bar) backstores.Options {
	return backstores.Options{
		Format:    f.Format,
		CacheSize: int64(f.CacheSize),
		MaxWindow: int64(f.ZstdWindow),
		TempDir:   f.TmpDir,
		Notice:    func(line string) { con.Say("%s", line) },
		Progress:  progress(ctx, b),
	}
}

// progress shows how much is done, and ends the job when ctx is done.
func progress(ctx context.Context, b *console.Bar) func(done, total int64, what string) error {
	return func(done, total int64, what string) error {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: interrupted", what)
		}
		b.Show(done, total, what)
		return nil
	}
}

// open is [backstores.Open] until ctx is done. What takes long ends then by
// itself. What storage does not answer cannot be called off: it is left behind,
// and ends with the process.
func open(ctx context.Context, path string, o backstores.Options) (backstores.Backstore, error) {
	type opened struct {
		store backstores.Backstore
		err   error
	}
	done := make(chan opened, 1)
	go func() {
		store, err := backstores.Open(path, o)
		done <- opened{store, err}
	}()
	select {
	case x := <-done:
		return x.store, x.err
	case <-ctx.Done():
	}
	select {
	case x := <-done:
		return x.store, x.err
	case <-time.After(time.Second):
		return nil, fmt.Errorf("%s: interrupted; its storage does not answer", path)
	}
}

// open opens and locks an image, and says what it is.
func (c *serveCmd) open(ctx context.Context, path string, down *undo) (*export, error) {
	real, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	x := &export{path: path, real: real, blockSize: c.SectorSize, removable: c.Removable}
	if c.Size > 0 {
		_, err := os.Stat(path)
		x.created = errors.Is(err, fs.ErrNotExist)
	}
	b := con.NewBar()
	options := c.options(ctx, b)
	options.ReadOnly, options.Create = c.ReadOnly || c.over(), int64(c.Size)
	store, err := open(ctx, path, options)
	b.Clear()
	if err != nil {
		return nil, err
	}
	x.image, x.store, x.format = store, store, backstores.Describe(store)
	down.push(func() error {
		err := errors.Join(backstores.Flush(x.store), x.store.Close())
		if x.created {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	})
	laid, writes, mode, err := c.lay(store, path, c.readFlags, c.ReadOnly)
	if err != nil {
		return nil, err
	}
	x.store, x.writes, x.mode = laid, writes, mode
	if c.Overlay != "" {
		if x.overlay, err = filepath.Abs(c.Overlay); err != nil {
			return nil, err
		}
	}
	whole := store.Size() / int64(c.SectorSize) * int64(c.SectorSize)
	if whole == 0 {
		return nil, fmt.Errorf("%s: less than one block of %d bytes; try truncate -s 1M %[1]s", path, c.SectorSize)
	}
	con.Say("%s: %s, %s, %s", path, x.format, humanize.IBytes(uint64(whole)), x.mode)
	if rest := store.Size() - whole; rest > 0 {
		con.Say("%s: the last %d bytes are not part of the disk: they fill no block of %d", path, rest, c.SectorSize)
	}
	return x, nil
}
