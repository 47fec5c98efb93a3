package tcmu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Device is a TCM-USER device, opened and mapped. Only one process at a time
// can open it.
type Device struct {
	name string
	uio  *uio
	mem  []byte
	ring *ring

	taking  sync.Mutex // held by the Serve that takes commands
	watcher atomic.Pointer[Watcher]
}

// ErrServed is the error of Open for a device that another process has open. It
// may have been killed: it is done with the ring when Open succeeds.
var ErrServed = errors.New("another program serves this device; is tcmu-runner running?")

// Open opens the UIO device of a TCM-USER device, such as /dev/uio0.
func Open(name string) (*Device, error) {
	// Nonblocking: a goroutine that waits for it occupies no thread.
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.EBUSY {
		return nil, fmt.Errorf("%s: %w", name, ErrServed)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return Inherit(name, fd)
}

// Inherit is Open for a device that is open already, as fd. The program that this
// process executed before has served it, and has completed all commands that it
// took: Serve goes on with the next one. The descriptor becomes the device's.
func Inherit(name string, fd int) (_ *Device, err error) {
	d := &Device{name: name}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", name, err), d.Close())
		}
	}()
	if d.uio, err = newUIO(os.NewFile(uintptr(fd), name)); err != nil {
		return nil, err
	}
	size, err := mapSize(filepath.Join("/sys/class/uio", filepath.Base(name), "maps/map0/size"))
	if err != nil {
		return nil, err
	}
	// Without MAP_POPULATE: the data area has pages only where it was used.
	if d.mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	d.ring, err = newRing(d.mem)
	return d, err
}

// FD returns the file descriptor, which stays the device's.
func (d *Device) FD() int { return d.uio.fd }

// mapSize reads the size of the mapping. The kernel maps all of it or nothing.
func mapSize(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 0, strconv.IntSize)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return int(n), nil
}

// Close unmaps and closes the device. Serve must have returned. A second Close
// is a no-op.
func (d *Device) Close() error {
	var errs []error
	if d.mem != nil {
		errs = append(errs, unix.Munmap(d.mem))
	}
	if d.uio != nil {
		errs = append(errs, d.uio.file.Close())
	}
	d.uio, d.mem, d.ring = nil, nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", d.name, err)
	}
	return nil
}
