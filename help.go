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
`

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
