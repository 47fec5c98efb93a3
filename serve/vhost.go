package serve

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/guard"
)

// vhostBytes is how much a command of vhost can transfer, wherever the buffers of
// the guest begin: the kernel has room for 2048 pages (VHOST_SCSI_PREALLOC_SGLS),
// and aborts commands that need more.
const vhostBytes = 2047 * 4096

// vhost makes a target for virtual machines. One WWPN stands for all of its LUNs.
type vhost struct {
	image   string // the first, which names the target
	adopted string // the target, or empty
	wwn     string // of the target
	target  *configfs.Vhost
	console *console.Console
	usersAt func(guard.Place) []inuse.User
}

func (f *vhost) kind() string { return "vhost" }

func (f *vhost) adopt(target string) error {
	f.adopted = target
	return nil
}

func (f *vhost) check() error { return nil }

func (f *vhost) up(_ context.Context, disks []*disk, down, last *configfs.Undo) (all []address, err error) {
	if err := f.make(); err != nil {
		return nil, err
	}
	last.Push(f.target.Close)
	for n, d := range disks {
		down.For(lunName(n)).Push(func() error { return f.target.RemoveLUN(n) })
		if err := f.target.AddLUN(n, d.device.kernel); err != nil {
			return nil, err
		}
		all = append(all, address{wwpn: f.wwn, lun: n})
	}
	f.console.Say("for QEMU: -device vhost-scsi-pci,wwpn=%s", f.wwn)
	return all, nil
}

// make sets the target and its name.
func (f *vhost) make() (err error) {
	if f.adopted != "" {
		f.wwn = f.adopted
		f.target, err = configfs.AdoptVhost(f.wwn)
		return err
	}
	return firstFreeName(f.image, func(n int) (err error) {
		if f.wwn, err = configfs.WWN(f.image, fmt.Sprint("vhost ", n)); err == nil {
			f.target, err = configfs.NewVhost(f.wwn)
		}
		return err
	})
}

// shared reports whether several machines use the target.
func (f *vhost) shared() bool { return len(f.usersAt(guard.Place{WWN: f.wwn})) > 1 }

func (f *vhost) users(a address) []inuse.User { return f.usersAt(guard.Place{WWN: a.wwpn}) }
