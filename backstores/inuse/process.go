package inuse

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A Process is a process on this machine.
type Process struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // its name in the kernel, at most 15 bytes
}

// String returns the process as people read it: "fsck.ext4 (pid 812)".
func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Command, p.PID) }

// Machines returns the processes of virtual machines as users.
func Machines(all []Process) (users []User) {
	for _, p := range all {
		users = append(users, User{Kind: VM, PID: p.PID, Command: p.Command})
	}
	return users
}

// Self returns this process's id as proc shows it, and so as other processes
// find it. In a container that is not always what getpid(2) returns.
func Self() int { return Host().Self() }

// Self is [Self] for this view.
func (v View) Self() int {
	if link, err := os.Readlink(filepath.Join(v.Proc, "self")); err == nil {
		if pid, err := strconv.Atoi(link); err == nil {
			return pid
		}
	}
	return os.Getpid()
}

// Openers returns the processes that have the file at path open, by pid. Path
// is the file's own, as the kernel shows it.
func (v View) Openers(path string) (all []Process) {
	for p := range v.processes() {
		for opened := range v.open(p) {
			if opened == path {
				all = append(all, Process{p.PID, v.command(p.PID)})
				break
			}
		}
	}
	return all
}

// Named returns the processes with this name in the kernel, by pid.
func (v View) Named(command string) (all []Process) {
	for p := range v.processes() {
		if v.command(p.PID) == command {
			all = append(all, Process{p.PID, command})
		}
	}
	return all
}

// processes yields all processes by pid, without their commands.
func (v View) processes() iter.Seq[Process] {
	var pids []int
	entries, _ := os.ReadDir(v.Proc)
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return func(yield func(Process) bool) {
		for _, pid := range pids {
			if !yield(Process{PID: pid}) {
				return
			}
		}
	}
}

func (v View) command(pid int) string { return attribute(v.Proc, strconv.Itoa(pid), "comm") }

// open yields the paths of the files that a process has open, and the links that
// proc has for them, which lead to the files whatever has become of the paths.
func (v View) open(p Process) iter.Seq2[string, string] {
	return func(yield func(path, link string) bool) {
		dir := filepath.Join(v.Proc, strconv.Itoa(p.PID), "fd")
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			link := filepath.Join(dir, e.Name())
			if path, err := os.Readlink(link); err == nil && !yield(path, link) {
				return
			}
		}
	}
}
