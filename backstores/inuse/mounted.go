package inuse

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MountsAt returns the sources of the mounts at a directory, whose path is absolute and
// without symbolic links, the topmost last. It does not look at the directory.
func MountsAt(dir string) (sources []string) { return Host().MountsAt(dir) }

// MountsAt is [MountsAt] for this view.
func (v View) MountsAt(dir string) (sources []string) {
	b, _ := os.ReadFile(filepath.Join(v.Proc, "self/mountinfo"))
	for line := range strings.Lines(string(b)) { // in the order of mounting, see View.mounts
		mount, of, _ := strings.Cut(line, " - ")
		f, s := strings.Fields(mount), strings.Fields(of)
		if len(f) >= 5 && len(s) >= 2 && unescape(f[4]) == dir {
			sources = append(sources, unescape(s[1]))
		}
	}
	return sources
}

// Inside returns the processes that have files below a directory open, are in it or
// run a program of it, by pid.
func Inside(dir string) []Process { return Host().Inside(dir) }

// Inside is [Inside] for this view.
func (v View) Inside(dir string) (all []Process) {
	inside := func(path string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
	for p := range v.processes() {
		found := false
		for _, name := range []string{"cwd", "root", "exe"} {
			path, err := os.Readlink(filepath.Join(v.Proc, strconv.Itoa(p.PID), name))
			found = found || err == nil && inside(path)
		}
		for path := range v.open(p) {
			found = found || inside(path)
		}
		if found {
			all = append(all, Process{p.PID, v.command(p.PID)})
		}
	}
	return all
}
