package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// groups are the headings in the list of flags, in their order.
var groups = []kong.Group{
	{Key: "image", Title: "Images and writes:"},
	{Key: "format", Title: "How images are read:"},
	{Key: "fabric", Title: "Ways to the disks:", Description: "Several may be given. On standard output are the paths of all disks of this machine, then all URLs, then the WWPN."},
	{Key: "iscsi", Title: "With --iscsi:"},
	{Key: "run", Title: "While the disks are there:"},
	{Key: "report", Title: "What is told:"},
}

// Help implements [kong.HelpProvider].
func (*serveCmd) Help() string {
	return "This is what is done if no subcommand is named. " +
		"After the images and -- may come a command: the disks are there while it runs, and lunserve exits as it does."
}

const usage = `Usage: lunserve [FLAGS] IMAGE... [-- COMMAND...]
       lunserve SUBCOMMAND ...

%s

Examples:
  lunserve disk.img                    a disk, such as /dev/sdb, until ^C
  lunserve --size 10G new.img          one of 10 GiB, which takes no space yet
  lunserve -s --iscsi disk.img.zst     a target that forgets what was written
  lunserve --run 'fsck $dev' disk.img  one that is there while a command runs

`

// printHelp shows, where no subcommand is named, what fits a screen: the common
// flags, which have that tag, and a line for each subcommand.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	var b strings.Builder
	fmt.Fprintf(&b, usage, description)
	serve := ctx.Model.DefaultCmd
	for _, g := range groups {
		flags := slices.DeleteFunc(slices.Clone(serve.Flags), func(f *kong.Flag) bool {
			return !f.Tag.Has("common") || f.Group.Key != g.Key
		})
		if len(flags) > 0 {
			fmt.Fprintln(&b, g.Title)
		}
		for _, f := range flags {
			fmt.Fprintf(&b, "  %-18s %s\n", flagName(f), sentence(f.Help))
		}
	}
	fmt.Fprint(&b, "\nSubcommands:\n")
	for _, command := range ctx.Model.Leaves(true) {
		help := command.Help
		if command == serve {
			help = "What is done without any; lunserve serve --help has all flags."
		}
		fmt.Fprintf(&b, "  %-10s %s\n", command.Name, help)
	}
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// flagName is how a flag is given.
func flagName(f *kong.Flag) string {
	name := "    --" + f.Name
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", --" + f.Name
	}
	switch {
	case f.IsCounter(), f.IsBool() && f.PlaceHolder == "":
		return name
	case f.IsBool():
		return name + "[=" + f.PlaceHolder + "]"
	}
	return name + "=" + f.FormatPlaceHolder()
}

// sentence is the first one.
func sentence(help string) string {
	first, _, more := strings.Cut(help, ". ")
	if more {
		first += "."
	}
	return first
}
