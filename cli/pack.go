package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/seekable"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

// The default of --frame-size is the smallest frame that packs at 0.8 of the speed
// of zstd -T0 and to 0.95 of its ratio, 2.81 here. Small reads that miss the cache
// pay for it; a workload of those wants a smaller frame.
// 1.5 GiB of the files of /usr, level 3, 2 CPUs of a busy AMD EPYC virtual
// machine, November 2026, medians of 4 in turn (go run ./e2e/packbench -frames
// measures the same, once):
//
//	frame    ratio   packing   4 KiB at random
//	128 KiB  2.58    6.25 s    0.12 ms
//	256 KiB  2.63    6.14 s    0.24 ms
//	  1 MiB  2.71    5.24 s    0.98 ms
//	  2 MiB  2.74    4.80 s    1.91 ms
//
// Others chose 128 KiB (crosvm) and 2 MiB (zeekstd). A better level is no
// substitute: "better" gains 2 % and takes half as long again.
type packCmd struct {
	In        string    `arg:"" name:"image" complete:"image" help:"The image to pack: a block device, or a file in any supported format."`
	Out       string    `arg:"" optional:"" name:"output" complete:"file" help:"The file to create. Default: the name of the image with .zst added, or with .img.zst in place of .qcow2."`
	Force     bool      `short:"f" help:"Replace the file if it exists."`
	FrameSize size      `default:"2M" placeholder:"SIZE" help:"Uncompressed size of a frame, the unit of decompression. Larger frames make the file smaller and random reads slower."`
	Level     packLevel `default:"3" placeholder:"N" help:"Compression level, 1 to 19 as for zstd; also written -1 to -19. There are four distinct levels: 1-2, 3-5, 6-9 and 10-19."`

	imageFlags `embed:""`
}

// Run packs. The file appears when it is complete.
func (c *packCmd) Run(ctx context.Context, con *console.Console) (err error) {
	level := int(c.Level)
	if c.FrameSize < seekable.MinFrame || c.FrameSize > seekable.MaxFrame {
		return hint.Try(misuse("--frame-size %d: must be from 4K to 64M", c.FrameSize), "--frame-size", "2M")
	}
	out, err := c.out()
	if err != nil {
		return err
	}
	file, err := image.NewOutput(out, c.Force, c.inputs(c.In)...)
	if err != nil {
		return err
	}
	defer closing(file, &err)
	b := con.NewBar()
	defer b.Clear()
	start := time.Now()
	o := c.shown(con, b)
	o.ReadOnly = true
	in, err := image.Open(ctx, c.In, o)
	if err != nil {
		return err
	}
	defer closing(in, &err)

	w := bufio.NewWriterSize(file, 64<<10) // joins frames of holes, a few bytes each; larger ones bypass the buffer
	packed, err := seekable.Pack(ctx, w, in, in.Size(), seekable.PackOptions{
		Level:     zstd.EncoderLevelFromZstd(level),
		FrameSize: int64(c.FrameSize),
		Progress:  func(done, total int64) { o.Progress(done, total, image.Name(c.In)+": packing") },
		Hole: func(off int64) (int64, bool, error) {
			n, data, err := backstores.Extent(in, off)
			return n, !data, err
		},
	})
	if many, ok := errors.AsType[*seekable.FrameCountError](err); ok {
		err = hint.Try(err, "--frame-size", fmt.Sprintf("%dK", many.Least>>10))
	}
	if err != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%s: packing: interrupted", image.Name(c.In))
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = file.Complete()
	}
	if err != nil {
		return err
	}
	b.Clear()
	d := time.Since(start)
	con.Say("%s: %s of %s (ratio %.2f), %s frames of %s, %s of them zeros; level %d (%v) in %v (%s/s)", out,
		humanize.IBytes(uint64(packed.Written)), humanize.IBytes(uint64(in.Size())),
		float64(in.Size())/float64(packed.Written), humanize.Comma(packed.Frames), humanize.IBytes(uint64(c.FrameSize)),
		humanize.Comma(packed.Zeros), level, zstd.EncoderLevelFromZstd(level), d.Round(time.Millisecond), rate(in.Size(), d))
	return nil
}

// out is the name of the file to make.
func (c *packCmd) out() (string, error) {
	switch {
	case c.Out != "":
		return c.Out, nil
	case image.IsURL(c.In):
		return path.Base(image.Name(c.In)) + ".zst", nil
	case strings.HasSuffix(c.In, ".zst"):
		return "", hint.Try(misuse("%s: ends in .zst already; name the file to make", c.In),
			"lunserve", "pack", hint.Path(c.In), hint.Path(hint.Free(c.In)))
	case strings.HasSuffix(c.In, ".qcow2"): // what is packed is the disk
		return strings.TrimSuffix(c.In, ".qcow2") + ".img.zst", nil
	case strings.HasPrefix(c.In, "/dev/"):
		return filepath.Base(c.In) + ".img.zst", nil
	}
	return c.In + ".zst", nil
}

func rate(n int64, d time.Duration) string {
	return humanize.IBytes(uint64(float64(n) / max(d.Seconds(), 0.001)))
}

// closing closes c and adds its error to err.
func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }
