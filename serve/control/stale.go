package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Sweep removes the sockets of processes that were killed. What it cannot remove
// does no harm.
func Sweep() { sweep(ownDir(), processExists) }

// Processes returns the ids of this user's processes that have a socket, in no order.
func Processes() (pids []int) {
	entries, _ := os.ReadDir(ownDir())
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".sock")
		if pid, err := strconv.Atoi(id); ok && err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// sweep removes a socket if there is no process with its id. A process that exists
// may be about to listen.
func sweep(dir string, exists func(pid int) bool) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".sock")
		pid, err := strconv.Atoi(id)
		if ok && err == nil && e.Type() == os.ModeSocket && !exists(pid) {
			_ = removeStale(filepath.Join(dir, e.Name()))
		}
	}
}

func processExists(pid int) bool {
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	return err == nil
}

// RemoveStale removes the socket of a process that was killed.
func RemoveStale(pid int) error { return removeStale(socket(pid)) }

// removeStale keeps a socket at which another process listens: one with the same
// id, or one in another PID namespace.
func removeStale(path string) error {
	conn, err := net.DialTimeout("unix", path, answerTime)
	if err == nil {
		return conn.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}
