package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/guard"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// grammar is the command line. Each subcommand is a struct with a Run method, in a
// file of its own.
type grammar struct {
	Serve  serveCmd  `cmd:"" default:"withargs" complete:"command" help:"Serve disk images as SCSI disks until interrupted."`
	Pack   packCmd   `cmd:"" help:"Compress an image to zstd for random access."`
	Unpack unpackCmd `cmd:"" help:"Convert an image of any format to a raw image."`
	Info   infoCmd   `cmd:"" help:"Show the format and contents of images."`
	Commit commitCmd `cmd:"" help:"Merge an overlay into its base, or both into a new image."`

	List     listCmd     `cmd:"" help:"List served disks."`
	Stats    statsCmd    `cmd:"" help:"Show rates and latencies of served disks."`
	Plot     plotCmd     `cmd:"" help:"Draw a trace of commands, as a web page."`
	Resize   resizeCmd   `cmd:"" help:"Resize a served disk."`
	Fault    faultCmd    `cmd:"" help:"Make a served disk misbehave."`
	Powercut powercutCmd `cmd:"" help:"Cut the power of a served disk."`
	Detach   detachCmd   `cmd:"" help:"Remove served disks."`

	Doctor     doctorCmd     `cmd:"" help:"Check whether this machine can serve images, and name what is missing."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Man        manCmd        `cmd:"" help:"Show the manual."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `Turns disk images into SCSI disks on this machine. Prints the path of each disk
when it is ready; ^C removes the disks.`

// Main runs lunserve with these arguments, without the program's name, and returns
// the exit status. It must be called from the main goroutine.
func Main(args []string) int {
	return offMainThread(func() int { return run(args) })
}

func run(args []string) int {
	// A write to a closed stdout or stderr must return an error, not kill the
	// process. The signal is not ignored: a command that we run would inherit
	// that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := context.Background(), context.CancelFunc(func() {})
	if !guard.StandsBy() && !serve.TakesOver() {
		ctx, stop = signal.NotifyContext(ctx, serve.StopSignals()...)
		defer stop()
		context.AfterFunc(ctx, stop) // if the first signal is ignored, the second kills the process
	}
	c := console.New(os.Stderr, "lunserve")
	defer c.Close()

	var g grammar
	k, err := parse(&g, args, options(ctx, c)...)
	if err == nil {
		err = k.Run()
		if console.IsUnread(err) && k.Selected() != k.Model.DefaultCmd {
			err = serve.ExitStatus(128 + syscall.SIGPIPE)
		}
	}
	stop() // a signal kills the process now, even if nobody reads the last message
	return status(err, args, c)
}

// status returns the exit status for an error of a command line, and prints the
// error unless a command that was run has done so.
func status(err error, args []string, c *console.Console) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[serve.ExitStatus](err); ok {
		return int(status)
	}
	c.Error(withoutSecrets(err, args))
	if e, ok := errors.AsType[*fault.SyntaxError](err); ok {
		c.Point(e.Text, e.At)
	}
	if e, ok := errors.AsType[serve.NotRunnableError](err); ok {
		return int(e.Status())
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// options configure kong where the tags of grammar cannot.
func options(ctx context.Context, c *console.Console) []kong.Option {
	return []kong.Option{
		kong.Name("lunserve"),
		kong.Description(description),
		kong.Vars{"version": version() + serve.Schema()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(c),
		kong.Bind(console.NewPrinter(os.Stdout)),
		kong.Help(printHelp),
		kong.ValueFormatter(describe),
		kong.ExplicitGroups(groups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.PostBuild(func(k *kong.Kong) error {
			k.Model.HelpFlag.Help = "Print help and exit."
			return nil
		}),
	}
}

// version returns the version and commit that the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "lunserve (unknown version)"
	}
	text := "lunserve " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += ", commit " + s.Value
		}
	}
	return text
}
