package inuse

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockHolder returns a process that holds an OFD or POSIX lock on the byte at
// of the file that is st. It ignores own, a descriptor of this process; -1 is
// none.
//
// The kernel does not name the holder of an OFD lock: F_OFD_GETLK answers -1,
// because several processes may share the open file. But /proc/PID/fdinfo/FD
// lists the locks taken through a descriptor. No process is found if the holder
// has ended, or is in another PID namespace or on another machine.
func LockHolder(st *unix.Stat_t, at int64, own int) (Process, bool) {
	return Host().LockHolder(st, at, own)
}

// LockHolder is [LockHolder] for this view.
func (v View) LockHolder(st *unix.Stat_t, at int64, own int) (Process, bool) {
	self, ignored := v.Self(), strconv.Itoa(own)
	for p := range v.processes() {
		dir := filepath.Join(v.Proc, strconv.Itoa(p.PID))
		entries, _ := os.ReadDir(filepath.Join(dir, "fdinfo"))
		for _, e := range entries {
			if p.PID == self && e.Name() == ignored {
				continue
			}
			// The locks first: to stat a file of others may block.
			info, err := os.ReadFile(filepath.Join(dir, "fdinfo", e.Name()))
			if err != nil || !hasLock(string(info), at) {
				continue
			}
			var other unix.Stat_t
			if unix.Stat(filepath.Join(dir, "fd", e.Name()), &other) == nil && other.Dev == st.Dev && other.Ino == st.Ino {
				return Process{p.PID, v.command(p.PID)}, true
			}
		}
	}
	return Process{}, false
}

// hasLock reports whether the text of an fdinfo file has a lock on the byte at:
//
//	lock:	1: OFDLCK ADVISORY  READ -1 fe:00:9978001 100 101
func hasLock(fdinfo string, at int64) bool {
	for line := range strings.Lines(fdinfo) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "lock:" || f[2] != "OFDLCK" && f[2] != "POSIX" {
			continue
		}
		first, err := strconv.ParseInt(f[len(f)-2], 10, 64)
		if err != nil {
			continue
		}
		last, err := strconv.ParseInt(f[len(f)-1], 10, 64)
		if err != nil {
			last = math.MaxInt64 // EOF
		}
		if first <= at && at <= last {
			return true
		}
	}
	return false
}
