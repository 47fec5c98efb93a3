package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A vectorCall is the system call number of preadv2 or pwritev2.
type vectorCall uintptr

const (
	preadv2  vectorCall = unix.SYS_PREADV2
	pwritev2 vectorCall = unix.SYS_PWRITEV2
)

// now makes the call without telling the Go scheduler. Until the call returns
// no other goroutine runs on this processor, so it must not wait for long. bufs
// holds at most maxVector buffers.
//
// An ordinary system call wakes the scheduler's monitor thread, which then
// polls every 20 µs. That costs more than a copy of 4 KiB.
func (c vectorCall) now(fd int, bufs [][]byte, off int64, flags int) (int, error) {
	return c.vector(fd, bufs, off, flags, true)
}

// wait makes the call where it may wait. bufs holds at most maxVector buffers.
// unix.Preadv2 would allocate.
func (c vectorCall) wait(fd int, bufs [][]byte, off int64, flags int) (int, error) {
	return c.vector(fd, bufs, off, flags, false)
}

// maxVector is the longest command of the loopback fabric, in pages.
const maxVector = 256

func (c vectorCall) vector(fd int, bufs [][]byte, off int64, flags int, now bool) (int, error) {
	const few = 8
	if len(bufs) > few {
		var iov [maxVector]unix.Iovec
		return c.call(fd, iov[:], bufs, off, flags, now)
	}
	var iov [few]unix.Iovec // less to clear
	return c.call(fd, iov[:], bufs, off, flags, now)
}

// call fills iov, which has room for bufs, and makes the call.
func (c vectorCall) call(fd int, iov []unix.Iovec, bufs [][]byte, off int64, flags int, now bool) (int, error) {
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	var n uintptr
	var errno unix.Errno
	// The offset is passed in two halves. A 64-bit kernel takes the low half
	// for the whole.
	if now {
		n, _, errno = unix.RawSyscall6(uintptr(c), uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(bufs)), uintptr(off), 0, uintptr(flags))
	} else {
		n, _, errno = unix.Syscall6(uintptr(c), uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(bufs)), uintptr(off), 0, uintptr(flags))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
