package backstores

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Snapshot returns a store that holds what base holds and can be written. What
// is written goes to a file in dir that has no name and is gone when the store
// is closed or the process ends. The base is never written. Closing the store
// closes it.
//
// As nothing is to outlive the process, Flush and Durable have nothing to do.
// A write for which dir has no space fails with ENOSPC, and what it was to
// replace is still there.
func Snapshot(base Backstore, dir string) (Backstore, error) {
	d, err := newDraft(dir, private)
	if err != nil {
		return nil, fmt.Errorf("%w; try --tmpdir DIR to keep temporary writes elsewhere", err)
	}
	d.forget()
	size := roundUp(base.Size(), blockBytes)
	if err := unix.Ftruncate(d.fd, size); err != nil {
		unix.Close(d.fd)
		return nil, fmt.Errorf("%s: make a file of %d bytes for temporary writes: %w; try --tmpdir DIR to keep them elsewhere",
			dir, size, err)
	}
	file := new(writableRaw)
	file.open("temporary writes in "+dir, d.fd, size, 1)
	return &cow{base: base, file: file, size: base.Size(), changed: newBlockmap(base.Size())}, nil
}
