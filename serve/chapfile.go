package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// readCHAP reads the file of --chap-file. It may be a pipe, and ctx interrupts
// the wait for its writer.
func readCHAP(ctx context.Context, path string) (*configfs.CHAP, error) {
	text, err := readSecrets(ctx, path)
	var c *configfs.CHAP
	if err == nil {
		c, err = parseCHAP(text)
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: interrupted", path)
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

// maxSecrets has room for four values and their line breaks.
const maxSecrets = 4096

// readSecrets returns the text of a file that only its owner may read or write.
func readSecrets(ctx context.Context, path string) (string, error) {
	// Without O_NONBLOCK, open waits for the writer of a FIFO, and nothing
	// interrupts that.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	// The mode of a pipe does not matter: only processes that inherit it can
	// read it.
	if fi.Mode().IsRegular() && fi.Mode()&0o077 != 0 {
		return "", hint.Try(fmt.Errorf("readable or writable by group or others (mode %04o)", fi.Mode().Perm()), "chmod", "600", hint.Path(path))
	}
	// A regular file has no deadline, and no writer to wait for.
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })()
	if err := awaitWriter(f); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecrets+1))
	if len(text) > maxSecrets {
		return "", fmt.Errorf("longer than %d bytes", maxSecrets)
	}
	return string(text), err
}

// awaitWriter returns when f has data, or when its last writer has closed it: a
// read of a FIFO that never had a writer would look like its end.
func awaitWriter(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}
