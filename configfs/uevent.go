package configfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A uevent is a notification about a device: from the kernel, or from udev
// after it has processed that of the kernel.
type uevent struct {
	udev    bool
	action  string // add, change, …
	devpath string // the device's sysfs directory without /sys
	devname string // its node, relative to /dev; udev's starts with /dev
}

// The multicast groups of the netlink protocol: 1 of the kernel, 2 of udev.
const (
	kernelGroup = 1 << iota
	udevGroup
)

// errMissed means that uevents were lost because they came too fast.
var errMissed = errors.New("uevents were lost")

// A listener receives uevents. Its next method waits for one until ctx is done.
type listener interface {
	next(ctx context.Context) (uevent, error)
	Close() error
}

// A socket is a listener on a netlink socket.
type socket struct {
	f      *os.File
	recv   func(fd int, p []byte) (n int, from unix.Sockaddr, err error)
	buf    []byte
	missed bool // uevents were lost, and next has not returned errMissed yet
}

// listenUevents returns a socket that receives the uevents from now on.
func listenUevents() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen for uevents: socket: %w", err)
	}
	// Hundreds of uevents of other devices may arrive in a burst. The kernel
	// allocates memory only for queued ones.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // best effort
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup | udevGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for uevents: bind: %w", err)
	}
	recv := func(fd int, p []byte) (int, unix.Sockaddr, error) { return unix.Recvfrom(fd, p, 0) }
	return &socket{f: os.NewFile(uintptr(fd), "uevents"), recv: recv, buf: make([]byte, 64<<10)}, nil
}

func (s *socket) Close() error { return s.f.Close() }

// next returns errMissed only when the socket is empty. Until then the kernel
// silently drops all further uevents, so one that is repeated earlier could be
// lost again.
//
// After ctx is done, next must not be called again.
func (s *socket) next(ctx context.Context) (uevent, error) {
	stop := context.AfterFunc(ctx, func() { s.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := s.f.SyscallConn()
	if err != nil {
		return uevent{}, err
	}
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = s.recv(int(fd), s.buf)
			return failed != unix.EAGAIN || s.missed
		})
		switch {
		case ctx.Err() != nil:
			return uevent{}, context.Cause(ctx)
		case err != nil:
			return uevent{}, fmt.Errorf("listen for uevents: %w", err)
		case failed == unix.EINTR:
		case failed == unix.ENOBUFS:
			s.missed = true
		case failed == unix.EAGAIN:
			s.missed = false
			return uevent{}, errMissed
		case failed != nil:
			return uevent{}, fmt.Errorf("listen for uevents: %w", failed)
		default:
			if ev, ok := parseUevent(from, s.buf[:n]); ok {
				return ev, nil
			}
		}
	}
}

// parseUevent parses a message. It rejects messages whose sender is not the
// owner of the group: the kernel has port 0, and no process can.
func parseUevent(from unix.Sockaddr, msg []byte) (uevent, bool) {
	sa, ok := from.(*unix.SockaddrNetlink)
	switch {
	case !ok:
		return uevent{}, false
	case sa.Pid == 0 && sa.Groups == kernelGroup:
		return parseKernel(msg)
	case sa.Pid != 0 && sa.Groups == udevGroup:
		return parseUdev(msg)
	}
	return uevent{}, false
}

// parseKernel parses ACTION@DEVPATH and the properties, each ended by a zero
// byte.
func parseKernel(msg []byte) (uevent, bool) {
	title, properties, ok := bytes.Cut(msg, []byte{0})
	if !ok || !bytes.ContainsRune(title, '@') {
		return uevent{}, false
	}
	return parseProperties(properties)
}

// parseUdev parses a message of libudev: a header and the properties it locates.
// The magic is in network byte order, the rest in host byte order.
//
//	0        8      12           16               20               40
//	+--------+------+------------+----------------+----------------+---
//	| libudev| magic| header size| properties from| properties len | filters
//	+--------+------+------------+----------------+----------------+---
func parseUdev(msg []byte) (uevent, bool) {
	if len(msg) < 40 || string(msg[:8]) != "libudev\x00" || binary.BigEndian.Uint32(msg[8:]) != 0xfeedcafe {
		return uevent{}, false
	}
	from := uint64(binary.NativeEndian.Uint32(msg[16:]))
	to := from + uint64(binary.NativeEndian.Uint32(msg[20:]))
	if to > uint64(len(msg)) {
		return uevent{}, false
	}
	ev, ok := parseProperties(msg[from:to])
	ev.udev = true
	return ev, ok
}

func parseProperties(p []byte) (ev uevent, ok bool) {
	for property := range bytes.SplitSeq(p, []byte{0}) {
		key, value, _ := bytes.Cut(property, []byte{'='})
		switch string(key) {
		case "ACTION":
			ev.action = string(value)
		case "DEVPATH":
			ev.devpath = string(value)
		case "DEVNAME":
			ev.devname = string(value)
		}
	}
	return ev, ev.action != "" && ev.devpath != ""
}
