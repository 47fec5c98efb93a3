package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// complaint matches what the kernel logs only if a ring is served wrongly, or on
// faults of its own.
var complaint = regexp.MustCompile(`BUG:|WARNING:|Oops|blocked for more than|` +
	`ring is broken|cmd_id .* not found|Invalid addr to data page|timing out command`)

// listenToKernel returns a function that returns the complaints logged since then.
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
		buf := make([]byte, 8192) // each read returns one line
		for {
			n, err := unix.Read(fd, buf)
			switch {
			case err == unix.EPIPE: // lines were overwritten; continue with the rest
			case err != nil:
				return lines
			case bytes.Contains(buf[:n], []byte("kmem_cache_destroy")):
				// tcm_loop leaks a session for each disk that it fails to make;
				// the kernel reports those when the module is unloaded.
			case bytes.Contains(buf[:n], []byte("__flush_work")):
				// tcm_loop_target_reset flushes work of commands that are not completed
				// and so have none (tcm_loop_flush_work_iter, Linux 6.1.172).
			case complaint.Match(buf[:n]):
				lines = append(lines, string(buf[:n]))
			}
		}
	}
}

// followKernel returns what the kernel logs from now on, until t ends.
func followKernel(t *testing.T) *record {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		_, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := newRecord()
	go func() {
		defer log.close()
		buf := make([]byte, 8192) // each read returns one line
		for {
			n, err := f.Read(buf)
			if err != nil && !errors.Is(err, unix.EPIPE) {
				return
			}
			log.Write(buf[:max(n, 0)])
		}
	}()
	t.Cleanup(func() { f.Close() })
	return log
}
