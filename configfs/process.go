package configfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A process is one run of a program. Its id may be reused, but not together
// with its start time.
type process struct {
	pid     int
	started uint64 // as in /proc/PID/stat; 0 if not known
}

// Self returns this process's id as proc shows it, which in a container may
// differ from that of os.Getpid. Everything that other processes compare or look
// up uses it: the owner mark of targets, the alias of devices, [Export.PID].
func Self() int { return host.self().pid }

func (m machine) self() process {
	pid := m.uses().Self()
	return process{pid, m.started(pid)}
}

// String is the alias by which a Device names its server. parseProcess parses
// it.
func (p process) String() string { return fmt.Sprintf("lunserve pid %d since %d", p.pid, p.started) }

func parseProcess(s string) (p process) {
	fmt.Sscanf(s, "lunserve pid %d since %d", &p.pid, &p.started)
	return p
}

// started returns when the process that has this id now started, in clock ticks
// since boot, or 0 if there is none.
func (m machine) started(pid int) (ticks uint64) {
	stat, _ := os.ReadFile(filepath.Join(m.proc, strconv.Itoa(pid), "stat"))
	// PID (NAME) STATE …, where NAME may contain anything.
	const starttime = 22 - 3 // proc(5), counted from the state
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > starttime {
		ticks, _ = strconv.ParseUint(fields[starttime], 10, 64)
	}
	return ticks
}

// runs reports whether the process still exists, if only inside the kernel.
func (m machine) runs(p process) bool {
	now := m.started(p.pid)
	return now != 0 && (now == p.started || p.started == 0)
}

// Killed reports whether the process with this id was killed and still exists, if
// only inside the kernel.
func Killed(pid int) bool { return host.isDying(process{pid: pid}) }

// hasEnded reports whether the process has closed its files. It may still wait for
// its parent to ask for its exit status.
func (m machine) hasEnded(p process) bool {
	if !m.runs(p) {
		return true
	}
	status, _ := os.ReadFile(filepath.Join(m.proc, strconv.Itoa(p.pid), "status"))
	zombie := bytes.Contains(status, []byte("\nState:\tZ"))
	return zombie && bytes.Contains(status, []byte("\nThreads:\t1\n"))
}

// isDying reports whether an existing process was killed. It executes no more
// code of its own, but may be blocked in the kernel.
func (m machine) isDying(p process) bool {
	const kill = 1 << (9 - 1) // SIGKILL in a signal set
	status, _ := os.ReadFile(filepath.Join(m.proc, strconv.Itoa(p.pid), "status"))
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch key {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return true
			}
		case "SigPnd", "ShdPnd":
			if set, err := strconv.ParseUint(value, 16, 64); err == nil && set&kill != 0 {
				return true
			}
		}
	}
	return false
}
