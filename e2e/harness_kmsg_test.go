package e2e

import (
	"bytes"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel only says if a ring is not served as it should be, or if it
// is itself in trouble.
var complaint = regexp.MustCompile(`BUG:|WARNING:|Oops|blocked for more than|` +
	`ring is broken|cmd_id .* not found|Invalid addr to data page|timing out command`)

// listenToKernel returns a function that returns what the kernel has complained
// of since.
func listenToKernel(t *testing.T) (complaints func() []string) {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		t.Fatal(err)
	}
	return func() (lines []string) {
		defer unix.Close(fd)
		buf := make([]byte, 8192) // one read is one line
		for {
			n, err := unix.Read(fd, buf)
			switch {
			case err == unix.EPIPE: // some were overwritten; go on with the rest
			case err != nil:
				return lines
			case bytes.Contains(buf[:n], []byte("kmem_cache_destroy")):
				// A session that tcm_loop has leaked is found when its module
				// is removed. It leaks one for each disk it could not make.
			case complaint.Match(buf[:n]):
				lines = append(lines, string(buf[:n]))
			}
		}
	}
}
