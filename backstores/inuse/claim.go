package inuse

import (
	"time"

	"golang.org/x/sys/unix"
)

// claimTime limits the wait for a node to open: the kernel may be recovering the
// disk from errors.
const claimTime = time.Second

// Claim returns the user that only the kernel knows, if a part of it has claimed a
// disk or one of its partitions, such as a file system whose journal it is. Nobody
// else can claim the disk while Claim looks, so it is for a disk that is about to
// be removed.
func Claim(disk string) (User, bool) {
	claimed := make(chan bool, 1)
	go func() { // the open cannot be interrupted
		fd, err := unix.Open(disk, unix.O_RDONLY|unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		claimed <- err == unix.EBUSY
	}()
	select {
	case is := <-claimed:
		return User{Kind: Kernel}, is
	case <-time.After(claimTime):
		return User{}, false
	}
}
