package inuse

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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
	for _, where := range v.mounts("self", devices) {
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

	own, _ := os.Readlink(filepath.Join(v.Proc, "self/ns/mnt"))
	searched := map[string]bool{own: true} // mount namespaces
	for p := range v.processes() {
		for path := range v.open(p) {
			if isNode(path, devices) {
				p.Command = v.command(p.PID)
				add(User{Kind: OpenedBy, PID: p.PID, Command: p.Command})
			}
		}
		pid := strconv.Itoa(p.PID)
		if ns, err := os.Readlink(filepath.Join(v.Proc, pid, "ns/mnt")); err == nil && !searched[ns] {
			searched[ns] = true
			for _, where := range v.mounts(pid, devices) {
				add(User{Kind: Mount, Where: where, PID: p.PID, Command: v.command(p.PID)})
			}
		}
	}
	return all
}

// mounts returns where a process sees file systems of the devices mounted. A
// file system on several devices has a device number of its own, so the source
// counts as well.
func (v View) mounts(pid string, devices []block) (where []string) {
	b, _ := os.ReadFile(filepath.Join(v.Proc, pid, "mountinfo"))
	for line := range strings.Lines(string(b)) {
		// ID PARENT MAJOR:MINOR ROOT WHERE OPTIONS … - TYPE SOURCE OPTIONS, proc(5)
		mount, source, _ := strings.Cut(line, " - ")
		f, s := strings.Fields(mount), strings.Fields(source)
		if len(f) < 5 || len(s) < 2 {
			continue
		}
		if isNode(unescape(s[1]), devices) || isNumber(f[2], devices) {
			where = append(where, unescape(f[4]))
		}
	}
	return where
}

// swaps returns the nodes of the devices that are swap space.
func (v View) swaps(devices []block) (nodes []string) {
	b, _ := os.ReadFile(filepath.Join(v.Proc, "swaps"))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "partition" {
			continue
		}
		node := unescape(f[0])
		var st unix.Stat_t
		if isNode(node, devices) || unix.Stat(node, &st) == nil && isNumber(number(&st), devices) {
			nodes = append(nodes, node)
		}
	}
	return nodes
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
