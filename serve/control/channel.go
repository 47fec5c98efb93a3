package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A channel is a connection on which files come beside the text. It belongs to one
// goroutine.
type channel struct {
	net.Conn
	files []*os.File // that came and were not taken
}

// maxFiles is how many files come with one request: those of an image.
const maxFiles = 2

// Read implements [io.Reader].
func (c *channel) Read(p []byte) (int, error) {
	conn, ok := c.Conn.(*net.UnixConn)
	if !ok {
		return c.Conn.Read(p)
	}
	rights := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, m, _, _, err := conn.ReadMsgUnix(p, rights)
	if err != nil {
		return 0, err
	}
	c.receive(rights[:m])
	return n, nil
}

// receive keeps the files of a message. It closes those that are too many, as the kernel
// does with those that had no room.
func (c *channel) receive(rights []byte) {
	messages, _ := unix.ParseSocketControlMessage(rights)
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		for _, fd := range fds {
			if len(c.files) == maxFiles {
				unix.Close(fd)
				continue
			}
			c.files = append(c.files, os.NewFile(uintptr(fd), "a file of lunserve add"))
		}
	}
}

// take returns the files that came, and leaves them to the caller.
func (c *channel) take() (files []*os.File) {
	files, c.files = c.files, nil
	return files
}

// drop closes the files that came and were not taken.
func (c *channel) drop() {
	for _, f := range c.take() {
		f.Close()
	}
}

// send writes text, and passes files with its first byte.
func (c *channel) send(text []byte, fds ...int) error {
	if conn, ok := c.Conn.(*net.UnixConn); ok && len(fds) > 0 {
		if _, _, err := conn.WriteMsgUnix(text[:1], unix.UnixRights(fds...), nil); err != nil {
			return err
		}
		text = text[1:]
	}
	_, err := c.Write(text)
	return err
}

// descriptor returns the descriptor of a file, which stays as it is: Fd would make it a
// blocking one.
func descriptor(f *os.File) (fd int) {
	fd = -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}
