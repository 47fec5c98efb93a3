package raw

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A holder is a process that has a lock on a file. The kernel does not tell
// whose an OFD lock is (F_OFD_GETLK answers -1), as more than one process may
// have the open file. But /proc/PID/fdinfo/FD lists the locks made through a
// descriptor.
type holder struct {
	pid     int
	command string
}

func (h holder) String() string { return fmt.Sprintf("%s (pid %d)", h.command, h.pid) }

// findHolder looks for a process that has a lock on the byte at of the file
// that is st, through a descriptor other than our own. It may find nobody: the
// holder may have gone, or be in another PID namespace or on another machine.
func findHolder(st *unix.Stat_t, own int, at int64) (holder, bool) {
	infos, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	ours := fmt.Sprintf("/proc/%d/fdinfo/%d", os.Getpid(), own)
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err != nil || info == ours || !hasLock(string(text), at) {
			continue
		}
		dir, fd := filepath.Dir(filepath.Dir(info)), filepath.Base(info)
		var other unix.Stat_t
		if unix.Stat(dir+"/fd/"+fd, &other) != nil || other.Dev != st.Dev || other.Ino != st.Ino {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		comm, _ := os.ReadFile(dir + "/comm")
		return holder{pid, strings.TrimSpace(string(comm))}, true
	}
	return holder{}, false
}

// hasLock tells whether the text of an fdinfo file has a lock on the byte at:
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
