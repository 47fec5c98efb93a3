package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

const examples = `
Examples:
  lunserve disk.img                   a disk of this machine, until ^C
  lunserve -r a.img b.img             two disks that cannot be written
  lunserve --size 10G new.img         a new image of 10 GiB, which takes no space yet
  lunserve --sector-size 4096 d.img   a disk with blocks of 4096 bytes
  lunserve --iscsi disk.img           an iSCSI target for programs of this machine
  lunserve --iscsi --portal 192.0.2.1 --chap-file secrets disk.img
                                      one for other machines
  lunserve --vhost disk.img           a disk for a virtual machine
`

// groups are the headings in the list of flags.
var groups = []kong.Group{
	{Key: "fabric", Title: "Ways to the disks", Description: "Several may be given. On standard output are the paths of all disks of this machine, then all URLs, then the WWPN."},
	{Key: "iscsi", Title: "With --iscsi"},
}

// printHelp shows, where no command is named, the help of the one that needs
// no name, and the others by a line each.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	serve, err := kong.Trace(ctx.Kong, []string{"serve"})
	if err != nil {
		return err
	}
	if err := kong.DefaultHelpPrinter(options, serve); err != nil {
		return err
	}
	for i, command := range ctx.Model.Leaves(true) {
		if i == 0 {
			fmt.Fprint(ctx.Stdout, "\nCommands:\n")
		}
		fmt.Fprintf(ctx.Stdout, "  %-10s %s\n", command.Name, command.Help)
	}
	_, err = fmt.Fprint(ctx.Stdout, examples)
	return err
}
