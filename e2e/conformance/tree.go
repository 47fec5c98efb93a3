package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// root is where the kernel shows its targets.
const root = "/sys/kernel/config/target"

// A tree is what is made there for one of LIO's own disks. It keeps its first
// error and does nothing more after it.
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

// remove takes it all away, newest first.
func (t *tree) remove() (err error) {
	for _, step := range slices.Backward(t.undo) {
		err = errors.Join(err, step())
	}
	return err
}

// backstore makes the folder of a disk, by the kernel's name for such.
func (t *tree) backstore(plugin string) (disk string) {
	// The target core's database, without which persistent reservations fail.
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
