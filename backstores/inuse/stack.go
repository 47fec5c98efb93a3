package inuse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A block is a block device: a disk, a partition or a device stacked on them.
type block struct {
	name string   // sdb1
	dev  string   // 8:17
	dm   string   // its name in the device mapper, or empty
	node []string // the paths at which it may be opened, the preferred last
}

// Stack returns the nodes of the block devices that hold data of a disk, in the
// order in which they must be flushed: the devices stacked on it, then its
// partitions, the disk itself last. It accepts any path of the disk's node.
func (v View) Stack(disk string) (nodes []string) {
	for _, b := range v.stack(disk) {
		nodes = append(nodes, b.node[0])
	}
	return nodes
}

func (v View) stack(disk string) (list []block) {
	seen := make(map[string]bool)
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, holder := range v.holders(name) {
			visit(holder)
		}
		for _, p := range glob(v.Sys, "class/block", name, "*/partition") {
			visit(filepath.Base(filepath.Dir(p)))
		}
		list = append(list, v.block(name))
	}
	if name := v.name(disk); name != "" {
		visit(name)
	}
	return list
}

// name returns the kernel's name of the block device with this node, which may
// be a link or have a name of its own, or "" if it is none.
func (v View) name(node string) string {
	if number := number(node); number != "" {
		if dir, err := os.Readlink(filepath.Join(v.Sys, "dev/block", number)); err == nil {
			return filepath.Base(dir)
		}
	}
	if filepath.Dir(node) == v.Dev {
		return filepath.Base(node)
	}
	return ""
}

// number returns the number of the block device with this node, as sysfs writes
// it, or "" if it is none. It does not wait for a file system that hangs.
func number(node string) string {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, node, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Rdev_major, st.Rdev_minor)
}

func (v View) block(name string) block {
	b := block{name: name, node: []string{filepath.Join(v.Dev, name)}}
	b.dev = attribute(v.Sys, "class/block", name, "dev")
	if b.dm = attribute(v.Sys, "class/block", name, "dm/name"); b.dm != "" {
		b.node = append(b.node, filepath.Join(v.Dev, "mapper", b.dm))
	}
	return b
}

// preferred returns the node that people know.
func (b block) preferred() string { return b.node[len(b.node)-1] }

// holders returns the kernel's names of the devices directly on a block device. A
// loop device has a path instead of a link.
func (v View) holders(name string) (names []string) {
	for _, h := range glob(v.Sys, "class/block", name, "holders/*") {
		names = append(names, filepath.Base(h))
	}
	for _, l := range glob(v.Sys, "class/block/loop*/loop") {
		if v.name(attribute(l, "backing_file")) == name {
			names = append(names, filepath.Base(filepath.Dir(l)))
		}
	}
	return names
}

// isNode reports whether path is a node of one of the devices.
func isNode(path string, devices []block) bool {
	return slices.ContainsFunc(devices, func(b block) bool { return slices.Contains(b.node, path) })
}

// isAny reports whether path leads to one of the devices.
func isAny(path string, devices []block) bool {
	return isNode(path, devices) || isNumber(number(path), devices)
}

// isNumber reports whether one of the devices has this number.
func isNumber(dev string, devices []block) bool {
	return dev != "" && slices.ContainsFunc(devices, func(b block) bool { return b.dev == dev })
}

// attribute returns the text of a file of one value, or "" if there is none.
func attribute(path ...string) string {
	b, _ := os.ReadFile(filepath.Join(path...))
	return strings.TrimSpace(string(b))
}

func glob(pattern ...string) []string {
	found, _ := filepath.Glob(filepath.Join(pattern...))
	return found
}
