// Lunserve turns a disk image into a SCSI disk of this machine, for as long as
// it runs.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the grammar. Each subcommand is a struct with a Run method, in a file
// of its own.
type cli struct {
	Serve  serveCmd  `cmd:"" default:"withargs" complete:"command" help:"Serve disk images as SCSI disks until interrupted."`
	Pack   packCmd   `cmd:"" help:"Make a zstd image that can be read at any place."`
	Unpack unpackCmd `cmd:"" help:"Make a raw image of one of any format."`
	Info   infoCmd   `cmd:"" help:"Tell what images are, and what is on them."`
	Commit commitCmd `cmd:"" help:"Put the writes of an overlay into its base, or into a new image."`

	List   listCmd   `cmd:"" help:"List the disks that are served."`
	Stats  statsCmd  `cmd:"" help:"Tell what disks that are served do just now."`
	Resize resizeCmd `cmd:"" help:"Give a disk that is served another size."`
	Detach detachCmd `cmd:"" help:"Take disks away that are served."`

	Doctor     doctorCmd     `cmd:"" help:"Tell what is missing for images to be served, and what to type."`
	Completion completionCmd `cmd:"" help:"Print what makes a shell complete lunserve's command lines."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `Turns disk images into SCSI disks of this machine. Their paths are printed on
standard output when they can be used; ^C takes the disks away again.`

func main() { os.Exit(offMainThread(run)) }

// run is the program. It returns its exit status.
func run() int {
	// A closed stdout or stderr must end in an error that is cleaned up after,
	// not in death. It is not ignored, which a command that we run would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), endings...)
	context.AfterFunc(ctx, stop) // if we do not heed the first signal, the second kills us

	var c cli
	k, err := parse(&c, os.Args[1:], options(ctx)...)
	if err == nil {
		err = k.Run()
	}
	stop()
	status := outcome(err)
	console.out.flush()
	return int(status)
}

// outcome is the exit status that tells of an error. If nothing else does, it
// says what the error is.
func outcome(err error) exitStatus {
	if status, ok := errors.AsType[exitStatus](err); ok || err == nil {
		return status
	}
	console.print(oneLine(err))
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// options are what the grammar does not say itself.
func options(ctx context.Context) []kong.Option {
	return []kong.Option{
		kong.Name("lunserve"),
		kong.Description(description),
		kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Help(printHelp),
		kong.ExplicitGroups(groups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.PostBuild(func(k *kong.Kong) error {
			k.Model.HelpFlag.Help = "Print help and exit."
			return nil
		}),
	}
}

// version is what the build knows of itself.
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
