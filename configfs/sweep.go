package configfs

import (
	"errors"
	"slices"
)

// Sweep removes the targets and HBAs of dead lunserves that hold no disk: none of the
// exports, which are all that there are. A process leaves them if it is killed before its
// first device or after its last is gone: targets are removed last. Sweep also
// restores the parameter of tcm_loop that [NewLoopback] changes for a moment.
//
// A target stays while a process has the id of its owner, even if it is another one.
// So Sweep waits for no process that is being killed in the middle of a removal.
func Sweep(exports []Export) error { return host.sweep(exports, 0) }

// SweepAfter is Sweep for the guard of the process that had this id. It has just ended:
// it executes nothing any more, in the kernel either, but may still be listed in /proc.
func SweepAfter(pid int) error {
	exports, err := Exports()
	if err != nil {
		return err // a target may have disks
	}
	return host.sweep(exports, pid)
}

func (m machine) sweep(exports []Export, ended int) error {
	r := remover{tree: tree{machine: m}}
	isDead := func(pid int) bool { return pid != 0 && (pid == ended || !m.runs(process{pid: pid})) }
	r.note(m.sweepMade())
	isLeft := func(dir string) bool {
		owner := r.ownerPID(dir)
		hasDisks := slices.ContainsFunc(exports, func(e Export) bool { return e.PID == owner })
		return !hasDisks && isDead(owner)
	}
	for _, fabric := range r.children("") {
		if !r.isShared(fabric) {
			continue
		}
		for _, target := range r.targets(fabric) {
			if isLeft(target) {
				r.removeTarget(target)
			}
		}
		r.note(r.leaveShared(fabric))
	}
	for _, hba := range r.children("core") {
		if isLeft(hba) {
			r.note(r.leaveShared(hba))
		}
	}
	return errors.Join(append(r.errs, m.restoreHostQueues())...)
}
