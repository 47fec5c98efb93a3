package backstores

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A vector call moves bytes between a file and buffers as preadv2 and pwritev2
// do.
type vectorCall uintptr

const (
	preadv2  vectorCall = unix.SYS_PREADV2
	pwritev2 vectorCall = unix.SYS_PWRITEV2
)

// now makes the call without telling the Go scheduler, and so must not be made
// where it may wait for long: for its duration no other goroutine runs on this
// processor. bufs are at most manyAtOnce.
//
// Being told that a thread may be in the kernel for long, the scheduler wakes
// its monitor thread, which then looks after it every 20 µs; that costs more
// than a copy of 4 KiB.
func (c vectorCall) now(fd int, bufs [][]byte, off int64, flags int) (int, error) {
	return c.vector(fd, bufs, off, flags, true)
}

// wait makes the call where it may wait. bufs are at most manyAtOnce, which
// unix.Preadv2 would allocate for.
func (c vectorCall) wait(fd int, bufs [][]byte, off int64, flags int) (int, error) {
	return c.vector(fd, bufs, off, flags, false)
}

// manyAtOnce buffers of a page are the longest command of the loopback fabric.
const manyAtOnce = 256

func (c vectorCall) vector(fd int, bufs [][]byte, off int64, flags int, now bool) (int, error) {
	const few = 8
	if len(bufs) > few {
		var iov [manyAtOnce]unix.Iovec
		return c.call(fd, iov[:], bufs, off, flags, now)
	}
	var iov [few]unix.Iovec // less to clear
	return c.call(fd, iov[:], bufs, off, flags, now)
}

// call makes the call by way of iov, which has room for bufs.
func (c vectorCall) call(fd int, iov []unix.Iovec, bufs [][]byte, off int64, flags int, now bool) (int, error) {
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	var n uintptr
	var errno unix.Errno
	// The offset is in two halves, of which a 64-bit kernel takes the low one
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
