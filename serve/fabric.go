package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
)

// A fabric makes a target whose LUNs are the disks, in their order.
type fabric interface {
	// kind is the fabric's name, as configfs.Ready takes it.
	kind() string

	// adopt has up adopt a target that a killed process left, rather than make
	// one, or returns the reason that it cannot.
	adopt(target string) error

	// check reports what is wrong before anything is made.
	check() error

	// up makes or adopts the target and returns the address of each disk. It has
	// down remove each LUN, for its disk, and last remove the target, when no disk
	// is left. The rings are served from before up until the LUNs are removed.
	up(ctx context.Context, disks []*disk, down, last *configfs.Undo) ([]address, error)

	// users returns the users of the disk at this address through the fabric.
	// It is safe for concurrent use once up has returned.
	users(a address) []inuse.User
}

// newFabrics returns the fabrics that the options ask for, in the order of
// their lines on standard output.
func (s *service) newFabrics(ctx context.Context) (list []fabric, err error) {
	image := s.options.Images[0].whole()
	if s.options.Loopback {
		list = append(list, &loopback{image: image, oneQueue: s.options.OneQueue, usersAt: s.usersAt})
	}
	if o := s.options.ISCSI; o != nil && s.options.Userspace {
		f, err := s.newUserspace(ctx, image)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	} else if o != nil {
		f, err := newISCSI(ctx, image, o, s.options.readOnly(), s.console, s.taken)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if s.options.Vhost {
		list = append(list, &vhost{image: image, console: s.console, usersAt: s.usersAt})
	}
	return list, nil
}

// maxSameImage bounds how many processes may serve one image at the same time.
const maxSameImage = 100

// firstFreeName calls try with 0, 1 and so on until it returns something other
// than fs.ErrExist: try makes a name from the number. Each process that serves
// the same image takes one name.
func firstFreeName(image string, try func(n int) error) error {
	for n := range maxSameImage {
		if err := try(n); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%s: too many lunserves serve this image", image)
}

// shared returns the [scsi.Options.Shared] of disks behind these fabrics.
func shared(fabrics []fabric) func() bool {
	if len(fabrics) > 1 {
		return func() bool { return true }
	}
	if f, ok := fabrics[0].(interface{ shared() bool }); ok {
		return f.shared
	}
	return nil
}

// nexuses returns the [scsi.Options.Nexuses] of disks behind these fabrics. It is
// nil unless iSCSI is the only one: the nexuses of other fabrics last as long as
// the target.
func nexuses(fabrics []fabric) func() (remain func() bool) {
	if len(fabrics) != 1 {
		return nil
	}
	if f, ok := fabrics[0].(interface{ nexuses() (remain func() bool) }); ok {
		return f.nexuses
	}
	return nil
}
