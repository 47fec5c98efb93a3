package serve

import (
	"fmt"

	"github.com/lunserve/lunserve/serve/control"
)

// A role is that of a process that runs a service.
type role int

const (
	starting   role = iota // by a person or program
	succeeding             // a server that was killed
	removing               // its disks
	upgrading              // the program that this process executed before
)

// forRemoval returns the options that matter when disks are adopted to be removed.
func (o Options) forRemoval() Options {
	o.Command, o.Trace, o.JSON, o.ExitWithParent, o.Quiet = nil, false, false, false, true
	return o
}

// canRestart returns an error if the disk of an image cannot survive the server.
func (o *Options) canRestart(img *openedImage) error {
	if o.Restart && img.writes == control.Temporary {
		return fmt.Errorf("%s: its temporary writes would be lost; leave out --restart, or give --overlay FILE or --read-only", img.path)
	}
	return nil
}
