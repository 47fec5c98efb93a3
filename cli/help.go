package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// groups are the headings in the list of flags, in their order.
var groups = []kong.Group{
	{Key: "image", Title: "Images:"},
	{Key: "identity", Title: "What initiators see:"},
	{Key: "format", Title: "Image formats:"},
	{Key: "url", Title: "Images at a URL:"},
	{Key: "fabric", Title: "Targets:", Description: "These flags can be combined. Standard output gets all local paths, then all URLs, then the WWPN."},
	{Key: "iscsi", Title: "With --iscsi:"},
	{Key: "fault", Title: "Faults:"},
	{Key: "run", Title: "Running a command:"},
	{Key: "report", Title: "Output:"},
}

// Help implements [kong.HelpProvider].
func (*serveCmd) Help() string {
	return "This is the default subcommand. With a command after --, lunserve serves " +
		"the images while the command runs, and exits with its status."
}

const usage = `Usage: lunserve [FLAGS] IMAGE... [-- COMMAND...], or lunserve SUBCOMMAND ...

Serves disk images as SCSI disks on this machine until ^C. Prints their paths.

  lunserve disk.img                    a local disk, such as /dev/sdb
  lunserve --size 10G new.img          create the image; it takes no space yet
  lunserve -s --iscsi disk.img.zst     an iSCSI target; drops writes at exit
  lunserve --scratch 1G -- ./test      no image, and only while a command runs

Common flags:
`

const usageEnd = `
Also: %s
All flags: lunserve serve --help, lunserve SUBCOMMAND --help, lunserve man
`

// printHelp prints, unless a subcommand is named, a text that fits a terminal of
// 24 lines: the flags that have the tag common, and the subcommands' names.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	var b strings.Builder
	b.WriteString(usage)
	for _, f := range ctx.Model.DefaultCmd.Flags {
		if f.Tag.Has("common") {
			fmt.Fprintf(&b, "  %-18s %s\n", flagName(f), sentence(f.Help))
		}
	}
	var names []string
	for _, command := range ctx.Model.Leaves(true) {
		if command != ctx.Model.DefaultCmd {
			names = append(names, command.Name)
		}
	}
	fmt.Fprintf(&b, usageEnd, wrapped(names, "Also: "))
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// flagName is the flag as it is typed.
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

// sentence is the first sentence of a help text.
func sentence(help string) string {
	first, _, more := strings.Cut(help, ". ")
	if more {
		first += "."
	}
	return first
}

// wrapped returns words in lines that fit a terminal, below each other. There is room
// for first before them.
func wrapped(words []string, first string) string {
	indent := "\n" + strings.Repeat(" ", len(first))
	text, width := words[0], len(first+words[0])
	for _, w := range words[1:] {
		if width += 1 + len(w); width > 80 {
			text, width = text+indent+w, len(first+w)
		} else {
			text += " " + w
		}
	}
	return text
}

// describe is the help of a flag or an argument, with a default that its name in the
// list does not show.
func describe(v *kong.Value) string {
	if v.HasDefault && v.Flag != nil && v.Flag.PlaceHolder != "" {
		return v.Help + " The default is " + v.Default + "."
	}
	return v.Help
}
