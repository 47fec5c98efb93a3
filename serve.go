package main

import (
	"context"
	"errors"
	"github.com/lunserve/lunserve/hint"
	"os"
	"os/signal"
	"syscall"

	"github.com/lunserve/lunserve/configfs"
)

type serveCmd struct {
	Images     []string `arg:"" name:"image" complete:"image" help:"Disk images: files or block devices. Each becomes a LUN of one target."`
	ReadOnly   bool     `short:"r" common:"" aliases:"readonly" help:"Refuse writes, and share the image with other readers." group:"image"`
	Size       size     `common:"" placeholder:"SIZE" help:"Make the image, sparse, of this size if it does not exist. K, M, G and T are powers of 1024." group:"image"`
	Removable  bool     `help:"Let the medium be taken out of the drive, and put in again, by command." group:"image"`
	SectorSize int      `enum:"512,4096" default:"512" help:"Bytes in a block of the disk: ${enum}." group:"image"`

	layerFlags   `embed:"" group:"image"`
	readFlags    `embed:"" group:"format"`
	fabricFlags  `embed:"" group:"fabric"`
	commandFlags `embed:"" group:"run"`
	readyFlags   `embed:"" group:"run"`
	reportFlags  `embed:"" group:"report"`
}

// Run brings the disks up, waits for the end, and takes them down. Each thing
// that is made is undone by what is pushed with it, newest first: a LUN goes
// while its commands can still be answered, and an image is closed when
// nothing uses it any more.
func (c *serveCmd) Run(ctx context.Context) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	// A later signal is for the service; during set-up each ends it.
	s := &service{signals: make(chan os.Signal, 2), wishes: make(chan os.Signal, 2), troubles: make(chan error, 64)}
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	signal.Notify(s.wishes, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(s.signals)
	defer signal.Stop(s.wishes)

	waiting := forked()
	if c.Fork && waiting == nil {
		return fork(s.signals)
	}
	con.SetQuiet(c.Quiet)
	if c.JSON {
		events.open(os.Stdout)
		con.OnWarning(func(text string) { _ = events.emit(event{Event: "warning", Message: text}) })
	}
	var down undo
	defer down.run() // in a panic, too
	down.push(c.readyFlags.remove)
	if err = c.bringUp(ctx, s, &down); err == nil {
		if err = c.ready(s, waiting, &down); err == nil {
			err = s.wait()
		}
	}
	err = errors.Join(err, insist(s.signals, down.run))
	s.tell()
	end := event{Event: "exit"}
	if !s.started.IsZero() {
		s.summarize()
		end.Disks = s.states()
	}
	if err != nil {
		end.Error = hint.Text(err)
	}
	err = errors.Join(err, events.emit(end), events.close())
	// What a service that has failed did to its command is not the matter.
	if s.child != nil && (s.child.first || err == nil) {
		if failed := s.child.result(); failed != nil {
			if err != nil {
				con.Warn(err)
			}
			return failed
		}
	}
	return err
}

// check refuses what cannot be done, or makes no sense together.
func (c *serveCmd) check() error {
	switch {
	case c.commandFlags.any() && c.Fork:
		return misuse("--fork goes on in the background, and a command in the foreground; try & after it all")
	case c.commandFlags.any() && c.JSON:
		return misuse("--json and the command would both write to standard output; try lunserve list --json from another shell")
	case c.Fork && c.ExitWithParent:
		return misuse("--fork has its parent end at once; do without --exit-with-parent")
	case c.Fork && c.JSON:
		return misuse("--fork leaves standard output; do without --json")
	case c.Fork && c.Trace.On && c.Trace.File == "":
		return misuse("--fork leaves standard error; try --trace=FILE")
	case c.Interval != 0 && (c.Interval < 0 || !c.JSON):
		return misuse("--stats-interval is a time, such as 10s, and needs --json")
	}
	if err := c.layerFlags.check(c.Images, c.ReadOnly); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return hint.Try(errors.New("must be root to make a disk"), sudo()...)
	}
	return c.commandFlags.check()
}

// bringUp makes the disks.
func (c *serveCmd) bringUp(ctx context.Context, s *service, down *undo) (err error) {
	if c.ExitWithParent {
		if s.orphaned, err = orphaned(down); err != nil {
			return err
		}
	}
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
	if c.Trace.On {
		if err := c.Trace.open(s.exports, down); err != nil {
			return err
		}
	}
	s.failed = make(chan error, len(s.exports))
	for _, x := range s.exports {
		if err := x.attach(ctx, s, down); err != nil {
			return err
		}
	}
	for _, f := range s.fabrics {
		if err := f.up(ctx, s.exports, down); err != nil {
			return errors.Join(err, pending(s.failed))
		}
	}
	down.push(func() error { // before the targets go: the kernel would wait for the end of a SANITIZE
		for _, x := range s.exports {
			x.disk.Close()
		}
		return nil
	})
	return nil
}
