package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

// readFlags say how images are read, whichever format they have. The defaults
// are those of [image.Options].
type readFlags struct {
	Format     string `enum:"auto,raw,sparse,zstd,simg" default:"auto" help:"Format of the image: ${enum}; auto goes by its contents."`
	CacheSize  size   `default:"256M" placeholder:"SIZE" help:"Memory for what is decompressed."`
	ZstdWindow size   `default:"128M" placeholder:"SIZE" help:"Memory that a zstd file without random access may ask for, to be decompressed."`
	TmpDir     string `name:"tmpdir" default:"/var/tmp" placeholder:"DIR" complete:"dir" help:"Folder for temporary files, as large as an image."`
}

// options are those of [image.Open]. b shows the progress of long jobs.
func (f *readFlags) options(b *bar) image.Options {
	return image.Options{
		Format:    f.Format,
		CacheSize: int64(f.CacheSize),
		MaxWindow: int64(f.ZstdWindow),
		TempDir:   f.TmpDir,
		Notice:    func(line string) { b.clear(); say("%s", line) },
		Progress:  b.progress(),
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
	b := newBar()
	options := c.options(b)
	options.ReadOnly, options.Create = c.ReadOnly || c.over(), int64(c.Size)
	store, err := image.Open(ctx, path, options)
	b.clear()
	if err != nil {
		return nil, err
	}
	x.image, x.store, x.format = store, store, image.Describe(store)
	down.push(func() error {
		err := errors.Join(backstores.Flush(x.store), x.store.Close())
		if x.created {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	})
	laid, mode, err := c.lay(ctx, store, path, c.readFlags, c.ReadOnly)
	if err != nil {
		return nil, err
	}
	x.store, x.mode = laid, mode
	whole := store.Size() / int64(c.SectorSize) * int64(c.SectorSize)
	if whole == 0 {
		return nil, fmt.Errorf("%s: less than one block of %d bytes; try truncate -s 1M %[1]s", path, c.SectorSize)
	}
	say("%s: %s, %s, %s", path, x.format, humanize.IBytes(uint64(whole)), x.mode)
	if rest := store.Size() - whole; rest > 0 {
		say("%s: the last %d bytes are not part of the disk: they fill no block of %d", path, rest, c.SectorSize)
	}
	return x, nil
}
