package serve

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/iscsi"
)

// The server of a disk when memory is short: if the kernel killed it, the users of
// the disk would lose it. If the kernel freed memory for it by writing to the disk,
// both would wait for each other. So the kernel is told, as far as it permits, to
// kill others first, and to free memory for this process without I/O. A command
// that this process starts is treated as any other.

const (
	oomScoreFile = "/proc/self/oom_score_adj"
	lastToKill   = "-999" // of -1000 to 1000, see proc(5); -1000 would be never
)

// A standing is how the kernel treated this process at its start.
type standing struct{ oomScore string }

// holdOut makes this process the last to be killed.
func holdOut() standing {
	before, _ := os.ReadFile(oomScoreFile)
	_ = os.WriteFile(oomScoreFile, []byte(lastToKill), 0)
	// Threads that begin later inherit it. A program with cgo has no such call.
	_, _, _ = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0, 0)
	return standing{strings.TrimSpace(string(before))}
}

// start starts a command with the standing that this process had. For this moment
// this process has it too, since a child inherits it.
func (s standing) start(cmd *exec.Cmd) error {
	runtime.LockOSThread() // the thread that forks
	defer runtime.UnlockOSThread()
	if s.oomScore != "" {
		_ = os.WriteFile(oomScoreFile, []byte(s.oomScore), 0)
		defer os.WriteFile(oomScoreFile, []byte(lastToKill), 0)
	}
	if was, err := unix.PrctlRetInt(unix.PR_GET_IO_FLUSHER, 0, 0, 0, 0); err == nil && was == 1 {
		_ = unix.Prctl(unix.PR_SET_IO_FLUSHER, 0, 0, 0, 0)
		defer unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0)
	}
	return cmd.Start()
}

// limitHeap has the garbage collector keep to what caches of so many bytes and the
// sessions of a target in this process need, and as much as is in use already, unless
// GOMEMLIMIT says otherwise.
func limitHeap(caches int64, userspace bool) {
	others := int64(256 << 20) // buffers of commands
	if userspace {
		others += iscsi.MaxMemory
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetMemoryLimit(int64(m.HeapInuse) + caches + others)
}
