package cli

import (
	"errors"
	"os"

	"github.com/lunserve/lunserve/hint"
)

// needRoot returns an error unless the process is root. The hints are our own command
// line with sudo and, if that asks for nothing that needs the kernel, the way without.
func (c *serveCmd) needRoot() error {
	if os.Geteuid() == 0 || c.Userspace {
		return nil
	}
	try := []hint.Command{{Words: append([]string{"sudo"}, os.Args...)}}
	if !c.Loopback && !c.Vhost && !c.Restart {
		try = append(try, hint.Command{Words: []string{"--userspace"}, Purpose: "to serve iSCSI without root"})
	}
	return hint.With(errors.New("must be root to make a disk"), try...)
}
