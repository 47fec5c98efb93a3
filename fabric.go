package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// A fabric is a target that has the disks as its LUNs, in their order, and the
// way by which initiators reach it.
type fabric interface {
	// kind is the fabric's name, as configfs.Ready takes it.
	kind() string
	// check tells what is wrong when nothing has been made yet.
	check() error
	// up makes the target, until down is run, and tells each export by what it
	// can be used now. The rings are served from before up until after down.
	up(ctx context.Context, exports []*export, down *undo) error
	// users are who uses the disk x now, and by what of its names.
	// It is safe for concurrent use, once up has returned.
	users(x *export) []user
}

// nexuses returns the [scsi.Options.Nexuses] of disks on these fabrics. It is nil
// unless iSCSI is the only one: the nexuses of other fabrics last as long as the
// target.
func nexuses(fabrics []fabric) func() (remain func() bool) {
	if len(fabrics) != 1 {
		return nil
	}
	f, ok := fabrics[0].(interface{ nexuses() (remain func() bool) })
	if !ok {
		return nil
	}
	return f.nexuses
}

// fabricFlags choose the ways to the disks.
type fabricFlags struct {
	Loopback bool `help:"Make disks of this machine, which is the default, and print their paths."`
	ISCSI    bool `name:"iscsi" common:"" help:"Make an iSCSI target, and print a URL for each image."`
	Vhost    bool `common:"" help:"Make a target for virtual machines, and print its WWPN."`

	iscsiFlags `group:"iscsi"`
}

// fabrics are those asked for, in the order of what they print.
func (c *serveCmd) fabrics() (list []fabric, err error) {
	if flag := c.iscsiFlags.first(); flag != "" && !c.ISCSI {
		return nil, misuse("%s says nothing without --iscsi; try adding that", flag)
	}
	if c.Loopback || !c.ISCSI && !c.Vhost {
		list = append(list, &loopback{image: c.Images[0]})
	}
	if c.ISCSI {
		f, err := c.iscsiFlags.fabric(c.Images[0], c.ReadOnly)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if c.Vhost {
		list = append(list, &vhost{image: c.Images[0]})
	}
	return list, nil
}

// unnamed calls try with numbers until it finds a name that no other target
// has. One is taken if another process serves the same image.
func unnamed(image string, try func(n int) error) error {
	for n := range 100 {
		if err := try(n); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%s: served a hundred times already", image)
}
