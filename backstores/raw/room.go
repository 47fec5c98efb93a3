package raw

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// An image may claim any size, and a few KiB of compressed data may hold
// terabytes. So an Output takes at most 95 % of the space that is free when it
// is made. The write that goes too far fails. If some of what it will hold is
// known to be data, [Output.Reserve] refuses that before anything is written.
// Zeros that are skipped do not count. What may be zeros does not count before it is
// written.
//
// What initiators write to a disk is not bounded by this. A write that finds no
// space fails with ENOSPC, which they are told.

// A RoomError is the error of a file for which there is not enough space. It
// wraps ENOSPC.
type RoomError struct {
	Needs string
	Free  int64
}

// Error implements error.
func (e *RoomError) Error() string {
	return fmt.Sprintf("needs %s; %s are free, and 5 %% of that must stay free", e.Needs, humanize.IBytes(uint64(e.Free)))
}

// Unwrap returns the error of the system call that would have failed.
func (e *RoomError) Unwrap() error { return unix.ENOSPC }

// free returns how many bytes can be written to the file system of an open file,
// or no bound if it does not say.
func free(fd int) int64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Blocks == 0 {
		return math.MaxInt64
	}
	return Free(&st)
}

// Free returns how many bytes a user can write to a file system.
func Free(st *unix.Statfs_t) int64 {
	return int64(min(st.Bavail, math.MaxInt64/uint64(st.Bsize))) * int64(st.Bsize)
}

// mayHold returns how many bytes an Output may hold.
func (o *Output) mayHold() int64 { return o.free - o.free/20 }

// Reserve returns an error if n bytes of data are more than the file may hold.
func (o *Output) Reserve(n int64) error {
	if n > o.mayHold() {
		return &RoomError{"at least " + humanize.IBytes(uint64(n)), o.free}
	}
	return nil
}

// take counts n bytes that are about to be written.
func (o *Output) take(n int) error {
	if o.taken.Add(int64(n)) > o.mayHold() {
		return &RoomError{"more than " + humanize.IBytes(uint64(o.mayHold())), o.free}
	}
	return nil
}
