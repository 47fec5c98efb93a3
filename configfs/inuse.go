package configfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A User is one of a disk, or of a part of it.
type User struct {
	How  string // a phrase: "mounted on /mnt" or "opened by fsck.ext4 (pid 812)"
	Open bool   // has its node open, and nothing more
}

// InUse says who uses a disk, such as "/dev/sdb".
func InUse(disk string) []User {
	return here.inUse(filepath.Base(disk))
}

// A block is a disk, a partition, or what is made of such.
type block struct {
	name string // sdb1
	dev  string // 8:17
}

// users are the block devices that hold data of a disk: what is made of it
// first, then its partitions, the disk itself last.
func (m machine) users(disk string) []block {
	seen := make(map[string]bool)
	var list []block
	var visit func(dir string)
	visit = func(dir string) {
		name := filepath.Base(dir)
		if seen[name] {
			return
		}
		seen[name] = true
		for _, h := range m.glob(dir, "holders/*") {
			visit(filepath.Join(m.sys, "class/block", filepath.Base(h)))
		}
		for _, p := range m.glob(dir, "*/partition") {
			visit(filepath.Dir(p))
		}
		dev, _ := attribute(dir, "dev")
		list = append(list, block{name, dev})
	}
	visit(filepath.Join(m.sys, "class/block", disk))
	return list
}

func (m machine) inUse(disk string) (all []User) {
	devices := m.users(disk)
	add := func(u User) {
		if !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	say := func(format string, a ...any) { add(User{How: fmt.Sprintf(format, a...)}) }

	for _, where := range m.mounts("self", devices) {
		say("mounted on %s", where)
	}
	for _, d := range devices {
		for _, h := range m.glob(m.sys, "class/block", d.name, "holders/*") {
			name := filepath.Base(h)
			if dm, err := attribute(m.sys, "class/block", name, "dm/name"); err == nil {
				name = "device mapper's " + dm
			}
			say("part of %s", name)
		}
	}
	swaps, _ := os.ReadFile(filepath.Join(m.proc, "swaps"))
	for line := range strings.Lines(string(swaps)) {
		if f := strings.Fields(line); len(f) > 0 && m.isNode(unescape(f[0]), devices) {
			say("swap space")
		}
	}

	own, _ := os.Readlink(filepath.Join(m.proc, "self/ns/mnt"))
	elsewhere := map[string]bool{own: true} // the mount namespaces looked at
	for _, pid := range m.processes() {
		comm, _ := attribute(m.proc, pid, "comm")
		who := fmt.Sprintf("%s (pid %s)", printable(comm, 16), pid)
		for _, fd := range m.glob(m.proc, pid, "fd/*") {
			if to, _ := os.Readlink(fd); m.isNode(to, devices) {
				add(User{"opened by " + who, true})
			}
		}
		if ns, err := os.Readlink(filepath.Join(m.proc, pid, "ns/mnt")); err == nil && !elsewhere[ns] {
			elsewhere[ns] = true
			for _, where := range m.mounts(pid, devices) {
				say("mounted on %s for %s", where, who)
			}
		}
	}
	return all
}

// mounts are the places where a process sees file systems of the devices. One
// that spans several devices has a number of its own, so the name counts too.
func (m machine) mounts(pid string, devices []block) (where []string) {
	b, _ := os.ReadFile(filepath.Join(m.proc, pid, "mountinfo"))
	for line := range strings.Lines(string(b)) {
		// ID PARENT MAJOR:MINOR ROOT WHERE OPTIONS … - TYPE SOURCE OPTIONS
		mount, source, _ := strings.Cut(line, " - ")
		f, s := strings.Fields(mount), strings.Fields(source)
		if len(f) < 5 || len(s) < 2 {
			continue
		}
		named := m.isNode(unescape(s[1]), devices)
		if named || slices.ContainsFunc(devices, func(d block) bool { return d.dev == f[2] }) {
			where = append(where, printable(unescape(f[4]), 4096))
		}
	}
	return where
}

// isNode tells whether path is the node of one of the devices.
func (m machine) isNode(path string, devices []block) bool {
	return slices.ContainsFunc(devices, func(d block) bool { return filepath.Join(m.dev, d.name) == path })
}

// processes are the process ids, in order.
func (m machine) processes() []string {
	var pids []int
	entries, _ := os.ReadDir(m.proc)
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	names := make([]string, len(pids))
	for i, pid := range pids {
		names[i] = strconv.Itoa(pid)
	}
	return names
}

// unescape undoes what /proc does to blanks and backslashes: \040 for a blank.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
