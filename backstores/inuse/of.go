package inuse

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Of returns the users of a block device on this machine, such as "/dev/sdb",
// of its partitions and of the devices stacked on them. It accepts any path of
// the node. The users found first are the hardest to get rid of.
func Of(disk string) []User { return Host().Of(disk) }

// Of is [Of] for this view.
func (v View) Of(disk string) (all []User) {
	devices := v.stack(disk)
	add := func(u User) {
		if !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	members := append(v.btrfs(devices), devices...)
	for _, where := range v.mounts("self", members) {
		add(User{Kind: Mount, Where: where})
	}
	for _, d := range devices {
		for _, holder := range v.holders(d.name) {
			add(User{Kind: Holder, Where: v.block(holder).preferred()})
		}
	}
	for _, node := range v.swaps(devices) {
		add(User{Kind: Swap, Where: node})
	}
	for _, what := range v.claims(devices) {
		add(User{Kind: Kernel, Where: what})
	}

	own, _ := os.Readlink(filepath.Join(v.Proc, "self/ns/mnt"))
	searched := map[string]bool{own: true} // mount namespaces
	for p := range v.processes() {
		for path, link := range v.open(p) {
			if isNode(path, devices) || filepath.IsAbs(path) && isNumber(number(link), devices) {
				p.Command = v.command(p.PID)
				add(User{Kind: OpenedBy, PID: p.PID, Command: p.Command})
			}
		}
		pid := strconv.Itoa(p.PID)
		if ns, err := os.Readlink(filepath.Join(v.Proc, pid, "ns/mnt")); err == nil && !searched[ns] {
			searched[ns] = true
			for _, where := range v.mounts(pid, members) {
				add(User{Kind: Mount, Where: where, PID: p.PID, Command: v.command(p.PID)})
			}
		}
	}
	return all
}

// mounts returns where a process sees file systems of the devices mounted. A
// file system on several devices has a device number of its own, so the source
// counts as well, and the devices that the options of XFS name.
func (v View) mounts(pid string, devices []block) (where []string) {
	b, _ := os.ReadFile(filepath.Join(v.Proc, pid, "mountinfo"))
	for line := range strings.Lines(string(b)) {
		// ID PARENT MAJOR:MINOR ROOT WHERE OPTIONS … - TYPE SOURCE OPTIONS, proc(5)
		mount, source, _ := strings.Cut(line, " - ")
		f, s := strings.Fields(mount), strings.Fields(source)
		if len(f) < 5 || len(s) < 2 {
			continue
		}
		nodes := s[1:2]
		for option := range strings.SplitSeq(s[len(s)-1], ",") {
			if key, node, _ := strings.Cut(option, "="); key == "logdev" || key == "rtdev" {
				nodes = append(nodes, node)
			}
		}
		leads := func(node string) bool {
			node = unescape(node)
			return isNode(node, devices) || strings.HasPrefix(node, v.Dev+"/") && isAny(node, devices)
		}
		if isNumber(f[2], devices) || slices.ContainsFunc(nodes, leads) {
			where = append(where, unescape(f[4]))
		}
	}
	return where
}

// btrfs returns the devices of all mounted btrfs that include one of the devices.
func (v View) btrfs(devices []block) (members []block) {
	for _, dir := range glob(v.Sys, "fs/btrfs/*/devices") {
		var all []block
		ours := false
		for _, d := range glob(dir, "*") {
			member := v.block(filepath.Base(d))
			all = append(all, member)
			ours = ours || isNumber(member.dev, devices)
		}
		if ours {
			members = append(members, all...)
		}
	}
	return members
}

// swaps returns the nodes of the devices that are swap space.
func (v View) swaps(devices []block) (nodes []string) {
	b, _ := os.ReadFile(filepath.Join(v.Proc, "swaps"))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "partition" {
			continue
		}
		if node := unescape(f[0]); isAny(node, devices) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// claims returns other parts of the kernel that use the devices: the journals of
// ext4 that are on a device of their own, and the backstores of LIO.
func (v View) claims(devices []block) (all []string) {
	for _, d := range devices {
		if _, err := os.Stat(filepath.Join(v.Proc, "fs/jbd2", strings.ReplaceAll(d.name, "/", "!"))); err == nil {
			all = append(all, "a file system, as its journal")
		}
	}
	for _, f := range glob(v.Sys, "kernel/config/target/core/*/*/udev_path") {
		backstore := filepath.Dir(f)
		driver := filepath.Base(filepath.Dir(backstore)) // such as iblock_0
		node := attribute(f)
		if !strings.HasPrefix(driver, "user_") && filepath.IsAbs(node) && isAny(node, devices) {
			all = append(all, "the backstore "+driver+"/"+filepath.Base(backstore))
		}
	}
	return all
}

// unescape undoes the escapes of proc for blanks and backslashes, such as \040.
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
