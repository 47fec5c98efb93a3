package serve

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/guard"
)

// vhost makes a target for virtual machines. One WWPN stands for all of its LUNs.
type vhost struct {
	image   string // the first, which names the target
	adopted string // the target, or empty
	target  *configfs.Vhost
	console *console.Console
	look    func(guard.Place) []inuse.User
}

func (f *vhost) kind() string { return "vhost" }

func (f *vhost) adopt(target string) error {
	f.adopted = target
	return nil
}

func (f *vhost) check() error { return nil }

func (f *vhost) up(_ context.Context, disks []*disk, down *configfs.Undo) (all []address, err error) {
	wwn, err := f.make()
	if err != nil {
		return nil, err
	}
	down.Push(f.target.Close)
	for n, d := range disks {
		if err := f.target.AddLUN(n, d.device.kernel); err != nil {
			return nil, err
		}
		all = append(all, address{wwpn: wwn, lun: n})
	}
	f.console.Say("for QEMU: -device vhost-scsi-pci,wwpn=%s", wwn)
	return all, nil
}

// make sets the target and returns its name.
func (f *vhost) make() (wwn string, err error) {
	if f.adopted != "" {
		f.target, err = configfs.AdoptVhost(f.adopted)
		return f.adopted, err
	}
	err = firstFreeName(f.image, func(n int) (err error) {
		if wwn, err = configfs.WWN(f.image, fmt.Sprint("vhost ", n)); err == nil {
			f.target, err = configfs.NewVhost(wwn)
		}
		return err
	})
	return wwn, err
}

func (f *vhost) users(a address) []inuse.User { return f.look(guard.Place{WWN: a.wwpn}) }
