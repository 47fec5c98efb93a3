package main

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/configfs"
)

// vhost is the fabric that makes a target for virtual machines. They are told
// of all of it by one name.
type vhost struct {
	image  string // the first
	wwn    string
	target *configfs.Vhost
}

func (f *vhost) kind() string { return "vhost" }

func (f *vhost) check() error { return nil }

func (f *vhost) up(_ context.Context, exports []*export, down *undo) error {
	err := unnamed(f.image, func(n int) (err error) {
		if f.wwn, err = configfs.WWN(f.image, fmt.Sprint("vhost ", n)); err == nil {
			f.target, err = configfs.NewVhost(f.wwn)
		}
		return err
	})
	if err != nil {
		return err
	}
	down.push(f.target.Close)
	for n, x := range exports {
		if err := f.target.AddLUN(n, x.device); err != nil {
			return err
		}
		x.wwpn = f.wwn
	}
	say("for QEMU: -device vhost-scsi-pci,wwpn=%s", f.wwn)
	return nil
}

func (f *vhost) users(*export) (all []user) {
	for _, machine := range f.target.Machines() {
		all = append(all, user{f.wwn + " is used by " + machine, true})
	}
	return all
}
