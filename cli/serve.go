package cli

import (
	"cmp"
	"context"
	"maps"
	"os/exec"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

type serveCmd struct {
	Images     []string   `arg:"" optional:"" unless:"scratch" name:"image" complete:"image" help:"Disk images: files, block devices or URLs. Each becomes one LUN. Words behind a name are for this image, as in disk.img,ro."`
	ReadOnly   bool       `short:"r" common:"" aliases:"readonly" help:"Refuse writes, and share the image with other readers." group:"image"`
	Size       size       `common:"" placeholder:"SIZE" help:"Create the image with this size if it does not exist. The file is sparse. K, M, G and T are powers of 1024; KB, MB, GB and TB are powers of 1000." group:"image"`
	Scratch    []size     `placeholder:"SIZE" sep:"none" help:"Make a disk of this size that has no image, and drop what was written at exit. May be repeated." group:"image"`
	Removable  bool       `help:"Present a removable disk: initiators can eject and load the medium." group:"image"`
	CDROM      bool       `name:"cdrom" help:"Present CD-ROMs or DVD-ROMs: read-only, removable, with blocks of 2048 bytes. A local one is /dev/srN." group:"image"`
	SectorSize sectorSize `enum:"512,4096" default:"512" not:"cdrom" help:"Logical block size in bytes: 512 or 4096." group:"image"`

	identityFlags `embed:"" group:"identity"`
	partFlags     `embed:"" group:"image"`
	layerFlags    `embed:"" group:"image"`
	imageFlags    `embed:"" group:"format"`
	targetFlags   `embed:"" group:"fabric"`
	faultFlags    `embed:"" group:"fault"`
	runFlags      `embed:"" group:"run"`
	outputFlags   `embed:"" group:"report"`
}

// Run serves the images.
func (c *serveCmd) Run(ctx context.Context, con *console.Console) error {
	if err := c.checkCDROM(); err != nil {
		return err
	}
	images, err := c.images()
	if err != nil {
		return err
	}
	writable := func(i serve.Image) bool { return !i.ReadOnly }
	iscsi, err := c.iscsi(!slices.ContainsFunc(images, writable))
	if err != nil {
		return err
	}
	if err := c.check(slices.ContainsFunc(images, writable)); err != nil {
		return err
	}
	return serve.Run(ctx, serve.Options{
		Images:     images,
		Open:       c.imageFlags.options(),
		Size:       int64(c.Size),
		SectorSize: c.blockSize(),
		Removable:  c.Removable,
		CDROM:      c.CDROM,
		Identity:   c.identity(),

		IgnoreDiscard: c.Discard == "ignore",
		DetectZeroes:  zeroDetection[c.DetectZeroes],

		Faults:    func() ([]fault.Rule, error) { return readRules(c.Faults, c.blockSize()) },
		FaultSeed: uint64(c.Seed),

		TrackWrites: c.Track,

		Loopback: c.Loopback || iscsi == nil && !c.Vhost,
		OneQueue: c.SingleQueue,
		ISCSI:    iscsi,
		Vhost:    c.Vhost,

		Userspace: c.Userspace,

		MountDir:       c.MountDir,
		Command:        c.command(),
		Fork:           c.Fork,
		PIDFile:        c.PIDFile,
		ExitWithParent: c.ExitWithParent,
		Once:           c.Once,
		Restart:        c.Restart,

		Quiet:         c.Quiet,
		JSON:          c.JSON,
		StatsInterval: time.Duration(c.Interval),
		Trace:         c.Trace.On,
		TraceFile:     c.Trace.File,
	}, con)
}

// images returns the images with what their words and the flags say about each, and
// then the disks without one. A flag that is for none of them is a mistake.
func (c *serveCmd) images() (all []serve.Image, err error) {
	flags := serve.Image{ReadOnly: c.ReadOnly || c.CDROM, Snapshot: c.Snapshot, Overlay: c.Overlay, Part: c.part()}
	void := imageFlagsIn(flags)
	if c.CDROM { // which says nothing else
		delete(void, "--read-only")
	}
	for _, arg := range c.Images {
		if path, words := splitImage(arg); c.CDROM && slices.ContainsFunc(words, isWritten) {
			return nil, misuse("%s: --cdrom is read-only; leave out the words behind the image", image.Name(path))
		}
		i, left, err := parseImage(arg, flags)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
		for name, given := range imageFlagsIn(left) {
			void[name] = void[name] && !given
		}
	}
	for _, name := range slices.Sorted(maps.Keys(void)) {
		if void[name] && len(all) > 0 {
			return nil, misuse("%s: the words behind the image say something else; leave out one of them", name)
		}
	}
	for _, size := range c.Scratch {
		all = append(all, serve.Image{Scratch: int64(size)})
	}
	return all, nil
}

// imageFlagsIn returns which flags that words replace an image has.
func imageFlagsIn(i serve.Image) map[string]bool {
	return map[string]bool{
		"--read-only": i.ReadOnly, "--snapshot": i.Snapshot, "--overlay": i.Overlay != "",
		"--partition, --offset and --sizelimit": i.Part != serve.Part{},
	}
}

// checkImages refuses flags of images if there is none.
func (c *serveCmd) checkImages() error {
	of := imageFlagsIn(serve.Image{ReadOnly: c.ReadOnly, Snapshot: c.Snapshot, Overlay: c.Overlay, Part: c.part()})
	of["--size"], of["--backing"] = c.Size > 0, len(c.Backing) > 0
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if of[name] && len(c.Images) == 0 {
			return misuse("%s: for an image, and a scratch disk has none", name)
		}
	}
	return cmp.Or(c.partFlags.check(len(c.Images)), c.identityFlags.check(len(c.Images)+len(c.Scratch), c.SectorSize))
}

// blockSize returns the logical block size in bytes.
func (c *serveCmd) blockSize() int {
	if c.CDROM {
		return 2048
	}
	return int(c.SectorSize)
}

// check refuses flags that contradict each other, and what cannot work.
func (c *serveCmd) check(writable bool) error {
	command := len(c.command()) > 0
	switch {
	case command && c.Fork:
		return misuse("--fork and a command exclude each other; put & after the command line instead")
	case command && c.JSON:
		return misuse("--json and a command would both write to standard output")
	case c.MountDir != "" && c.Userspace:
		return misuse("--mount is for a local disk, and --userspace makes none; leave out one of them")
	case c.MountDir != "" && (c.ISCSI || c.Vhost) && (writable || !c.Loopback):
		return misuse("--mount is for a disk that no initiator writes; leave out --iscsi and --vhost, or add --loopback and --read-only")
	case c.MountDir != "" && len(c.Images) != 1 || c.MountDir != "" && len(c.Scratch) > 0:
		return misuse("--mount is for one image, and the only disk")
	case c.Once && (command || c.MountDir != ""):
		return misuse("--once ends with the last user, and a command or --mount is one until the end; leave out one of them")
	case c.Restart && command:
		return misuse("--restart cannot take over a command; leave out one of them")
	case c.Restart && len(c.Scratch) > 0:
		return misuse("--restart would lose the contents of the scratch disk; leave out one of them")
	case c.Restart && c.Snapshot:
		return hint.Try(misuse("--restart would lose the temporary writes of --snapshot"), "--overlay=FILE")
	case c.Restart && c.ExitWithParent:
		return misuse("--restart gives the disks another parent process; leave out --exit-with-parent")
	case c.Track && c.ReadOnly:
		return misuse("--fault-track is for writes, which --read-only refuses; leave out one of them")
	case c.Restart && c.Userspace:
		return misuse("--restart keeps disks of the kernel, and --userspace makes none; leave out one of them")
	case c.Fork && c.ExitWithParent:
		return misuse("--fork ends the parent process immediately; leave out --exit-with-parent")
	case c.Fork && c.Interval != 0:
		return misuse("--fork closes standard output when the disks are ready; leave out --stats-interval")
	case c.Fork && c.Trace.On && c.Trace.File == "":
		return hint.Try(misuse("--fork closes standard error"), "--trace="+hint.Free("lunserve.trace"))
	case c.Interval != 0 && !c.JSON:
		return hint.Try(misuse("--stats-interval needs --json"), "--json")
	case c.Line != "" && len(c.Command) > 0:
		return misuse("--run and a command after -- exclude each other; give one of them")
	}
	if len(c.Backing) > 0 && len(c.Images) > 1 {
		return misuse("--backing is for one image, not %d", len(c.Images))
	}
	if err := cmp.Or(c.checkImages(), c.layerFlags.check(c.Images, c.ReadOnly)); err != nil {
		return err
	}
	if err := c.needRoot(); err != nil {
		return err
	}
	if len(c.Command) > 0 && !serve.Upgrading() { // find a typing error before a disk is made
		if _, err := exec.LookPath(c.Command[0]); err != nil {
			return serve.NotRunnable(err)
		}
	}
	return nil
}
