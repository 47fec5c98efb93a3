package configfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/hint"
)

// A Vhost is a target whose initiators are virtual machines. QEMU is given its
// name and hands the guest's commands to the kernel. It is not safe for
// concurrent use.
type Vhost struct {
	tree *tree
	wwn  string
	tpg  string // vhost/naa.…/tpgt_1
}

// NewVhost makes a target without disks. Its name is wwn, as from [WWN]. If
// another target has the name, the error is [fs.ErrExist].
func NewVhost(wwn string) (*Vhost, error) { return host.newVhost(wwn) }

// AdoptVhost is NewVhost for a target of a dead process. Virtual machines keep it.
func AdoptVhost(wwn string) (*Vhost, error) {
	return makeVhost(&tree{machine: host, adopting: true}, wwn)
}

func (m machine) newVhost(wwn string) (*Vhost, error) { return makeVhost(&tree{machine: m}, wwn) }

func makeVhost(t *tree, wwn string) (*Vhost, error) {
	target := "vhost/" + wwn
	v := &Vhost{tree: t, wwn: wwn, tpg: target + "/tpgt_1"}

	t.mkdirShared("vhost", target)
	t.mkdir(v.tpg)
	t.set(v.tpg+"/nexus", wwn)
	if t.err != nil {
		return nil, t.fail()
	}
	return v, nil
}

// AddLUN makes dev the LUN n. After an error only Close may be called.
func (v *Vhost) AddLUN(n int, dev *Device) error {
	t := v.tree.lun(n)
	defer func() { v.tree.err = t.err }()
	lun := fmt.Sprintf("%s/lun/lun_%d", v.tpg, n)
	t.mkdir(lun)
	t.link(dev.name, lun+"/"+filepath.Base(dev.name))
	return t.err
}

// RemoveLUN removes the LUN n, even if a virtual machine uses it. It may be called
// for several LUNs at the same time.
func (v *Vhost) RemoveLUN(n int) error { return v.tree.removeLUN(n) }

// Machines returns the processes of the virtual machines that use the target with
// this WWN: those that have /dev/vhost-scsi open and the WWN on their command line.
// The kernel does not show which process has which target.
func Machines(wwn string) []inuse.Process { return host.machines(wwn) }

func (m machine) machines(wwn string) []inuse.Process {
	open := m.uses().Openers(filepath.Join(m.dev, "vhost-scsi"))
	return slices.DeleteFunc(open, func(p inuse.Process) bool {
		args, _ := os.ReadFile(filepath.Join(m.proc, strconv.Itoa(p.PID), "cmdline"))
		return !strings.Contains(string(args), wwn)
	})
}

// Close removes the disks, even if virtual machines use them, and then the
// target. While a machine that uses the target runs, the kernel keeps the
// target, without disks, and Close returns an error that says so. A second
// Close does nothing.
func (v *Vhost) Close() error {
	err := v.tree.Close()
	if errors.Is(err, unix.EBUSY) {
		return heldError(v.wwn, v.tpg, v.tree.path(""))
	}
	return err
}

// heldError explains why a target could not be removed, and how it can be later.
func heldError(wwn, tpg, root string) error {
	err := fmt.Errorf("%s: a virtual machine still holds the target, which no longer has disks", wwn)
	target := path.Dir(tpg)
	return hint.With(err, hint.Command{
		Words:   []string{"rmdir", filepath.Join(root, tpg), filepath.Join(root, target), filepath.Join(root, path.Dir(target))},
		Purpose: "when the machine has ended",
	})
}
