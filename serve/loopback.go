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
	adopted  string // the target, or empty
	oneQueue bool   // as of [configfs.NewLoopback]
	usersAt  func(guard.Place) []inuse.User
}

func (f *loopback) kind() string { return "loopback" }

func (f *loopback) adopt(target string) error {
	f.adopted = target
	return nil
}

func (f *loopback) check() error { return nil }

func (f *loopback) up(ctx context.Context, disks []*disk, down, last *configfs.Undo) (all []address, err error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}
	last.Push(target.Close)
	for n, d := range disks {
		down.For(lunName(n)).Push(func() error { return target.RemoveLUN(n) })
		node, err := target.AddLUN(ctx, n, d.device.kernel)
		if err != nil {
			return nil, err
		}
		all = append(all, address{node: node, lun: n})
	}
	return all, nil
}

func (f *loopback) target() (target *configfs.Loopback, err error) {
	if f.adopted != "" {
		return configfs.AdoptLoopback(f.adopted)
	}
	err = firstFreeName(f.image, func(n int) error {
		wwn, err := configfs.WWN(f.image, fmt.Sprint("target ", n))
		if err == nil {
			target, err = configfs.NewLoopback(wwn, f.oneQueue)
		}
		return err
	})
	return target, err
}

func (f *loopback) users(a address) []inuse.User { return f.usersAt(guard.Place{Node: a.node}) }
