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
	nodes  []string // such as /dev/sdb
}

func (f *loopback) kind() string { return "loopback" }

func (f *loopback) check() error { return nil }

func (f *loopback) up(ctx context.Context, exports []*export) ([]string, error) {
	err := unnamed(f.image, func(n int) error {
		wwn, err := configfs.WWN(f.image, fmt.Sprint("target ", n))
		if err == nil {
			f.target, err = configfs.NewLoopback(wwn)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for n, x := range exports {
		node, err := f.target.AddLUN(ctx, n, x.device)
		if err != nil {
			return nil, err
		}
		f.nodes = append(f.nodes, node)
	}
	return f.nodes, nil
}

func (f *loopback) users() (phrases []string) {
	for _, node := range f.nodes {
		for _, user := range configfs.InUse(node) {
			phrases = append(phrases, node+" is "+user)
		}
	}
	return phrases
}

func (f *loopback) down() error {
	if f.target == nil {
		return nil
	}
	return f.target.Close()
}
