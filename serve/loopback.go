package serve

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/guard"
)

// loopback makes local disks.
type loopback struct {
	image    string // the first, which names the target
	adopted  string // the name of the target, or empty
	oneQueue bool   // as of [configfs.NewLoopback]
	target   *configfs.Loopback
	usersAt  func(guard.Place) []inuse.User
}

func (f *loopback) kind() string { return "loopback" }

func (f *loopback) adopt(target string) error {
	f.adopted = target
	return nil
}

func (f *loopback) check() error { return nil }

func (f *loopback) up(_, last *configfs.Undo) error {
	if err := f.make(); err != nil {
		return err
	}
	last.Push(f.target.Close)
	return nil
}

func (f *loopback) add(ctx context.Context, d *disk) (address, error) {
	d.down.Push(func() error { return f.target.RemoveLUN(d.lun) })
	node, err := f.target.AddLUN(ctx, d.lun, d.device.kernel)
	return address{node: node, lun: d.lun}, err
}

func (f *loopback) admit(context.Context, *configfs.Undo) error { return nil }

// make sets the target.
func (f *loopback) make() (err error) {
	if f.adopted != "" {
		f.target, err = configfs.AdoptLoopback(f.adopted)
		return err
	}
	return firstFreeName(f.image, func(n int) error {
		wwn, err := configfs.WWN(f.image, fmt.Sprint("target ", n))
		if err == nil {
			f.target, err = configfs.NewLoopback(wwn, f.oneQueue)
		}
		return err
	})
}

func (f *loopback) users(a address) []inuse.User { return f.usersAt(guard.Place{Node: a.node}) }
