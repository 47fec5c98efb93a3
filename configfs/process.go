package configfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A process is one run of a program. Its id may be another's later, but not
// with the time of its start.
type process struct {
	pid     int
	started uint64 // as /proc/PID/stat has it; 0 is not known
}

// Self returns this process's id as proc shows it, which in a container may
// differ from that of os.Getpid. Everything that other processes compare or look
// up uses it: the owner mark of targets, the alias of devices, [Export.PID].
func Self() int { return host.self().pid }

func (m machine) self() process {
	pid := m.uses().Self()
	return process{pid, m.started(pid)}
}

// String is how a Device says who serves it, and parseProcess the way back.
func (p process) String() string { return fmt.Sprintf("lunserve pid %d since %d", p.pid, p.started) }

func parseProcess(s string) (p process) {
	fmt.Sscanf(s, "lunserve pid %d since %d", &p.pid, &p.started)
	return p
}

// started is when the process that has this id now was started, in clock ticks
// since the machine was; 0 if there is none.
func (m machine) started(pid int) (ticks uint64) {
	stat, _ := os.ReadFile(filepath.Join(m.proc, strconv.Itoa(pid), "stat"))
	// PID (NAME) STATE … where a name may hold anything.
	const starttime = 22 - 3 // proc(5), of the fields after the name
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > starttime {
		ticks, _ = strconv.ParseUint(fields[starttime], 10, 64)
	}
	return ticks
}

// runs tells whether there still is this process, if only because the kernel
// has not done with it.
func (m machine) runs(p process) bool {
	now := m.started(p.pid)
	return now != 0 && (now == p.started || p.started == 0)
}

// isDying tells whether a process that is there was killed: it executes
// nothing of its own any more, but may be stuck in the kernel.
func (m machine) isDying(p process) bool {
	const kill = 1 << (9 - 1) // SIGKILL in a set of signals
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
