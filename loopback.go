package main

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/configfs"
)

// loopback is the fabric that makes disks of this machine.
type loopback struct {
	image  string // the first
	target *configfs.Loopback
}

func (f *loopback) kind() string { return "loopback" }

func (f *loopback) check() error { return nil }

func (f *loopback) up(ctx context.Context, exports []*export, down *undo) error {
	err := unnamed(f.image, func(n int) error {
		wwn, err := configfs.WWN(f.image, fmt.Sprint("target ", n))
		if err == nil {
			f.target, err = configfs.NewLoopback(wwn)
		}
		return err
	})
	if err != nil {
		return err
	}
	down.push(f.target.Close)
	for n, x := range exports {
		if x.node, err = f.target.AddLUN(ctx, n, x.device); err != nil {
			return err
		}
	}
	return nil
}

func (f *loopback) users(x *export) []user { return usersHere(x.node) }
