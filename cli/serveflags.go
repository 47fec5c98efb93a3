package cli

import (
	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
)

// layerFlags choose the layers over an image.
type layerFlags struct {
	Snapshot     bool   `short:"s" common:"" aliases:"cow" help:"Write to a temporary file and drop it at exit. This is the default for zstd, qcow2, simg and vmdk images, and for images at a URL."`
	Overlay      string `common:"" placeholder:"FILE" complete:"file" help:"Keep writes in FILE, a qcow2 overlay, for the next run. FILE is created if it does not exist."`
	Discard      string `enum:"unmap,ignore" default:"unmap" help:"Support UNMAP and free the space in the image (unmap), or present a fully provisioned disk (ignore)."`
	DetectZeroes string `enum:"off,on,unmap" default:"off" help:"Detect blocks of zeros in writes, and store them as allocated zeros (on) or holes (unmap)."`
}

// zeroDetection has the values of --detect-zeroes.
var zeroDetection = map[string]serve.ZeroDetection{"off": serve.WriteZeros, "on": serve.ZeroBlocks, "unmap": serve.UnmapZeros}

// check refuses layers that contradict each other.
func (f *layerFlags) check(images []string, readOnly bool) error {
	switch {
	case f.Snapshot && f.Overlay != "":
		return misuse("--snapshot drops writes and --overlay keeps them; give one of them")
	case f.Snapshot && readOnly:
		return misuse("--read-only refuses the writes that --snapshot is for; give one of them")
	case f.Overlay != "" && len(images) > 1:
		return misuse("--overlay is for one image, not %d", len(images))
	case f.DetectZeroes == "unmap" && f.Discard == "ignore":
		return hint.Try(misuse("--detect-zeroes=unmap needs --discard=unmap"), "--detect-zeroes=on")
	}
	return nil
}

// targetFlags choose the fabrics.
type targetFlags struct {
	Loopback    bool `help:"Make local disks, and print their paths. This is the default."`
	SingleQueue bool `help:"Give the SCSI host of local disks one hardware queue. By default it has two, which is faster, unless the module tcm_loop was loaded with another number."`
	ISCSI       bool `name:"iscsi" common:"" help:"Make an iSCSI target, and print a URL for each image."`
	Vhost       bool `common:"" help:"Make a vhost-scsi target for VMs, and print its WWPN."`

	Userspace bool `common:"" help:"Serve iSCSI from this process: without root and modules. Everything else works as with --iscsi."`

	iscsiFlags `group:"iscsi"`
}

// runFlags choose a command to run, and how the process itself runs.
type runFlags struct {
	MountDir       string   `name:"mount" placeholder:"DIR" complete:"dir" help:"Mount the file system of the disk on DIR while it is served, and print DIR. ^C unmounts it. A command finds it in $$mnt."`
	Line           string   `name:"run" common:"" placeholder:"LINE" help:"Serve while a shell command runs, and exit with its status. The command finds the disk in $$dev, as does a command after --."`
	Fork           bool     `common:"" help:"Serve in the background; return when the disks are ready."`
	PIDFile        string   `name:"pid-file" placeholder:"FILE" complete:"file" help:"Write the process ID to FILE when the disks are ready. It is removed at exit."`
	ExitWithParent bool     `help:"Exit when the parent process exits."`
	Once           bool     `help:"Exit when the last user has gone: an initiator, a VM, or a mount of a local disk."`
	Restart        bool     `help:"Keep the disks if the process is killed: its guard starts another, which goes on."`
	Command        []string `kong:"-"`
}

// command returns the command to run, or nil.
func (f *runFlags) command() []string {
	if f.Line != "" {
		return []string{"/bin/sh", "-c", f.Line}
	}
	return f.Command
}

// outputFlags choose what is printed.
type outputFlags struct {
	Quiet    bool      `short:"q" help:"Print only warnings and errors on standard error."`
	JSON     bool      `help:"Print events on standard output, one JSON object per line. The events are ready, warning, stats, upgraded and exit."`
	Interval interval  `name:"stats-interval" placeholder:"TIME" help:"With --json, print a stats event at this interval, such as 10s."`
	Trace    traceFlag `common:"" placeholder:"FILE" complete:"file" help:"Print each SCSI command on standard error. --trace=FILE writes to FILE instead."`
}

// A traceFlag is --trace or --trace=FILE.
type traceFlag struct {
	On   bool
	File string
}

// IsBool lets the flag stand without a value.
func (*traceFlag) IsBool() bool { return true }

// Decode implements [kong.MapperValue].
func (f *traceFlag) Decode(ctx *kong.DecodeContext) error {
	f.On = true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		f.File = ctx.Scan.Pop().String()
	}
	return nil
}
