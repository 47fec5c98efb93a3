package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/configfs"
)

// endings are the signals that ask for an end.
var endings = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

type serveCmd struct {
	Images     []string `arg:"" name:"image" help:"Disk images: files or block devices. Each becomes a LUN of one target."`
	ReadOnly   bool     `short:"r" aliases:"readonly" help:"Refuse writes, and share the image with other readers."`
	Size       size     `placeholder:"SIZE" help:"Make the image, sparse and of this size, if it does not exist. K, M, G and T are powers of 1024."`
	Removable  bool     `help:"Let the medium be taken out of the drive, and put in again, by command."`
	SectorSize int      `enum:"512,4096" default:"512" help:"Bytes in a block of the disk: ${enum}."`

	layerFlags  `embed:""`
	readFlags   `embed:""`
	fabricFlags `embed:""`
}

// Run brings the disks up, waits for the end, and takes them down. Each thing
// that is made is undone by what is pushed with it, newest first: a LUN goes
// while its commands can still be answered, and an image is closed when
// nothing uses it any more.
func (c *serveCmd) Run(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("must be root to make a disk; try sudo %s", strings.Join(os.Args, " "))
	}
	if err := c.layerFlags.check(c.Images, c.ReadOnly); err != nil {
		return err
	}
	var down undo
	defer func() { err = errors.Join(err, down.run()) }()

	// A later signal is for the service; during set-up each ends it.
	s := &service{signals: make(chan os.Signal, 2)}
	signal.Notify(s.signals, endings...)
	defer signal.Stop(s.signals)

	if err := c.bringUp(ctx, s, &down); err != nil {
		return err
	}
	if err := s.announce(); err != nil {
		return err
	}
	err = s.wait()
	err = errors.Join(err, down.run())
	s.summarize()
	return err
}

// bringUp makes the disks.
func (c *serveCmd) bringUp(ctx context.Context, s *service, down *undo) (err error) {
	if s.fabrics, err = c.fabrics(); err != nil {
		return err
	}
	// All images first, as the most likely thing to be wrong; the kernel is
	// not touched for a typing error.
	for lun, path := range c.Images {
		x, err := c.open(ctx, path, down)
		if err != nil {
			return err
		}
		x.lun = lun
		s.exports = append(s.exports, x)
	}
	var kinds []string
	for _, f := range s.fabrics {
		kinds = append(kinds, f.kind())
	}
	if err := configfs.Ready(kinds...); err != nil {
		return err
	}
	for _, f := range s.fabrics {
		if err := f.check(); err != nil {
			return err
		}
	}
	s.failed = make(chan error, len(s.exports))
	for _, x := range s.exports {
		if err := x.attach(s.failed, down); err != nil {
			return err
		}
	}
	for _, f := range s.fabrics {
		down.push(f.down)
		if err := f.up(ctx, s.exports); err != nil {
			return errors.Join(err, pending(s.failed))
		}
	}
	return nil
}

// open opens and locks an image, and says what it is.
func (c *serveCmd) open(ctx context.Context, path string, down *undo) (*export, error) {
	x := &export{path: path, blockSize: c.SectorSize, removable: c.Removable}
	if _, err := os.Stat(path); c.Size > 0 && errors.Is(err, fs.ErrNotExist) {
		x.created = true
	}
	b := newBar()
	defer b.clear()
	options := c.options(ctx, b)
	options.ReadOnly, options.Create = c.ReadOnly || c.over(), int64(c.Size)
	store, err := backstores.Open(path, options)
	if err != nil {
		return nil, err
	}
	x.store = store
	down.push(func() error {
		err := errors.Join(backstores.Flush(x.store), x.store.Close())
		if x.created {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	})
	layered, mode, err := c.lay(store, path, c.Format, c.TmpDir, c.ReadOnly)
	if err != nil {
		return nil, err
	}
	x.store = layered
	whole := store.Size() / int64(c.SectorSize) * int64(c.SectorSize)
	if whole == 0 {
		return nil, fmt.Errorf("%s: less than one block of %d bytes; try truncate -s 1M %[1]s", path, c.SectorSize)
	}
	say("%s: %s, %s, %s", path, backstores.Describe(store), humanize.IBytes(uint64(whole)), mode)
	if rest := store.Size() - whole; rest > 0 {
		say("%s: the last %d bytes are not part of the disk: they fill no block of %d", path, rest, c.SectorSize)
	}
	return x, nil
}
