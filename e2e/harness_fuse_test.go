package e2e

import (
	enc "encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A fuse is a mounted FUSE file system that holds one file under any name: of
// zeros, or one that a recorder has. It answers until silence is called, as an NFS
// server does until it dies.
type fuse struct {
	dir    string
	size   uint64    // of the file, in bytes
	record *recorder // or nil
	device *os.File
	fd     int // of device
	server sync.WaitGroup
}

// newFUSE mounts the file system until t ends.
func newFUSE(t *testing.T, size int64) *fuse {
	t.Helper()
	return mountFUSE(t, &fuse{size: uint64(size)})
}

func mountFUSE(t *testing.T, f *fuse) *fuse {
	t.Helper()
	exec.Command("modprobe", "fuse").Run() // it may be built in
	if !exists("/dev/fuse") {
		t.Fatal("/dev/fuse: the kernel has no FUSE")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.dir, f.fd = t.TempDir(), fd
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("fuse", f.dir, "fuse", 0, options); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	f.device = os.NewFile(uintptr(fd), "/dev/fuse") // before the mount, it cannot be polled
	t.Cleanup(f.abort)
	t.Cleanup(func() { run(t, "umount", "--lazy", f.dir) })
	f.server.Go(f.serve)
	return f
}

// silence stops answering. Requests that come later stay in the kernel, which
// can drop only those that have not been read.
func (f *fuse) silence() {
	f.device.SetReadDeadline(time.Now())
	f.server.Wait()
}

// await waits for a request that is not answered.
func (f *fuse) await(t *testing.T) {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}, int(timeLimit/time.Millisecond))
	if n != 1 {
		t.Fatalf("/dev/fuse: no request: %v", err)
	}
}

// abort ends the connection: all requests fail.
func (f *fuse) abort() { f.device.Close(); f.server.Wait() }

// serve answers requests. Their structures are those of linux/fuse.h.
func (f *fuse) serve() {
	const (
		inHeader, outHeader = 40, 16

		lookup, forget, getattr, open, read, write, flush, fsync, release = 1, 2, 3, 14, 15, 16, 25, 20, 18
		statfs, init, opendir, releasedir, fallocate                      = 17, 26, 27, 29, 43
	)
	u32, u64 := enc.NativeEndian.AppendUint32, enc.NativeEndian.AppendUint64
	pad := func(b []byte, n int) []byte { return append(b, make([]byte, n)...) }
	attr := func(b []byte, node uint64) []byte { // struct fuse_attr
		mode := uint32(unix.S_IFREG | 0o600)
		if node == 1 {
			mode = unix.S_IFDIR | 0o700
		}
		blocks := f.size / 512
		if f.record != nil {
			blocks = 0 // sparse, so that it is trimmed
		}
		b = u64(u64(u64(b, node), f.size), blocks)
		b = u32(u32(pad(b, 24+12), mode), 1)
		return pad(b, 88-68)
	}
	request := make([]byte, 1<<20)
	for {
		n, err := f.device.Read(request)
		if err != nil {
			return
		}
		in := request[:n]
		op, node, body := enc.NativeEndian.Uint32(in[4:]), enc.NativeEndian.Uint64(in[16:]), in[inHeader:]
		out, errno := []byte{}, unix.Errno(0)
		switch op {
		case forget:
			continue
		case init: // struct fuse_init_out: version 7.31, FUSE_BIG_WRITES of up to 128 KiB
			out = pad(u32(u32(u32(pad(u32(u32(out, 7), 31), 4), 1<<5), 0), 128<<10), 64-24)
		case lookup: // struct fuse_entry_out
			out = attr(pad(u64(out, 2), 32), 2)
		case getattr: // struct fuse_attr_out
			out = attr(pad(out, 16), node)
		case open: // struct fuse_open_out
			directIO := uint32(0)
			if f.record != nil {
				directIO = 1
			}
			out = u32(u32(pad(out, 8), directIO), 0)
		case opendir, statfs:
			out = pad(out, map[uint32]int{opendir: 16, statfs: 80}[op])
		case read:
			out = make([]byte, enc.NativeEndian.Uint32(body[16:]))
			if f.record != nil {
				out, errno = f.record.read(out, int64(enc.NativeEndian.Uint64(body[8:])))
			}
		case write: // struct fuse_write_in
			off, data, flags := enc.NativeEndian.Uint64(body[8:]), body[40:], enc.NativeEndian.Uint32(body[32:])
			if f.record != nil {
				errno = f.record.write(data, int64(off), flags&unix.O_DSYNC != 0)
			}
			out = u32(u32(out, uint32(len(data))), 0)
		case fallocate: // struct fuse_fallocate_in
			off, n, mode := enc.NativeEndian.Uint64(body[8:]), enc.NativeEndian.Uint64(body[16:]), enc.NativeEndian.Uint32(body[24:])
			if f.record != nil {
				errno = f.record.clear(int64(off), int64(n), mode)
			}
		case fsync:
			if f.record != nil {
				f.record.flush()
			}
		case flush, release, releasedir:
		default:
			errno = unix.ENOSYS
		}
		answer := u64(u32(u32(nil, uint32(outHeader+len(out))), -uint32(errno)), enc.NativeEndian.Uint64(in[8:]))
		if _, err := f.device.Write(append(answer, out...)); err != nil && err != unix.ENOENT { // ENOENT: it was interrupted
			continue
		}
	}
}
