package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// root is the folder of the kernel's targets.
const root = "/sys/kernel/config/target"

// A tree is what is made there for a disk of LIO's own. After its first error it does
// nothing more.
type tree struct {
	err  error
	undo []func() error
}

func (t *tree) mkdir(path string) {
	if t.err != nil {
		return
	}
	if t.err = os.Mkdir(path, 0o755); t.err == nil {
		t.undo = append(t.undo, func() error { return unix.Rmdir(path) })
	}
}

func (t *tree) set(path, value string) {
	if t.err == nil {
		t.err = os.WriteFile(path, []byte(value), 0)
	}
}

// remove removes it in reverse order.
func (t *tree) remove() (err error) {
	for _, step := range slices.Backward(t.undo) {
		err = errors.Join(err, step())
	}
	return err
}

// backstore makes the folder of a disk. plugin is the kernel's name for its kind.
func (t *tree) backstore(plugin string) (disk string) {
	// The kernel's folder for persistent reservations, which fail without it.
	for _, dir := range []string{"/var/target", "/var/target/pr"} {
		if os.Mkdir(dir, 0o755) == nil {
			t.undo = append(t.undo, func() error { return os.RemoveAll(dir) })
		}
	}
	hba := root + "/core/" + plugin + "_0"
	disk = hba + "/disk"
	t.mkdir(hba)
	t.mkdir(disk)
	return disk
}

// target makes a disk the LUN of an iSCSI target, and returns its URLs.
func (t *tree) target(disk string, k kind) (urls []string) {
	const iqn = "iqn.2001-04.com.example:disk"
	tpg := root + "/iscsi/" + iqn + "/tpgt_1"
	if _, err := os.Stat(root + "/iscsi"); err != nil {
		t.mkdir(root + "/iscsi")
	}
	t.mkdir(filepath.Dir(tpg))
	t.mkdir(tpg)
	for attribute, value := range map[string]string{"authentication": "0", "generate_node_acls": "1", "demo_mode_write_protect": "0"} {
		if k == readOnly && attribute == "demo_mode_write_protect" {
			value = "1"
		}
		t.set(tpg+"/attrib/"+attribute, value)
	}
	lun := tpg + "/lun/lun_0"
	t.mkdir(lun)
	if t.err == nil {
		if t.err = os.Symlink(disk, lun+"/disk"); t.err == nil {
			t.undo = append(t.undo, func() error { return os.Remove(lun + "/disk") })
		}
	}
	for _, p := range portals {
		t.mkdir(tpg + "/np/" + p)
	}
	t.set(tpg+"/enable", "1")
	if t.err == nil {
		t.undo = append(t.undo, func() error { return os.WriteFile(tpg+"/enable", []byte("0"), 0) })
	}
	return paths(iqn)
}
