package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// strace injects the faults. lunserve must report each in one line.
func TestFailedStartLeavesNothing(t *testing.T) {
	uio := nextUIO()
	for _, tt := range []struct {
		name, fault string
		paths       []string // only calls on these fail
		want        string   // a pattern for stderr
	}{
		{"configfs HBA", "mkdirat:error=ENOMEM:when=1", nil, `: mkdir: cannot allocate memory`},
		{"ring of another program", "openat:error=EBUSY", []string{uio}, uio + `: another program serves this device`},
		{"ring cannot be mapped", "mmap:error=ENOMEM", []string{uio}, uio + `: map .*: cannot allocate memory`},
		{"ring cannot be read", "read:error=EIO", []string{uio}, `\.img: \S.*`},
		{"ring cannot be kicked", "write:error=EIO", []string{uio}, `\.img: .*input/output error`},
		{"no uevents", "socket:error=EPROTONOSUPPORT", nil, `listen for uevents: socket: protocol not supported`},
		{"no LUN", "symlinkat:error=ENOMEM", nil, `: link: cannot allocate memory`},
		{"no fabric folder", "fchmodat:error=EPERM", nil, `/loopback: chmod: operation not permitted`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 1<<20)
			refusedAs(t, "lunserve: .*"+tt.want+".*", straced(t, tt.fault, tt.paths, image))
		})
	}
}

// runtimeWakeup is the last message of Go's runtime if a fault hits the write by
// which it wakes itself up. No kernel fails that write.
const runtimeWakeup = "runtime: netpollBreak write failed"

// strace counts calls by thread, so these faults hit any call, even those that
// report another fault. lunserve either continues without the failed step or
// exits.
func TestFaultsLeaveNothing(t *testing.T) {
	for call, most := range map[string]int{"mkdirat": 6, "write": 8} {
		for n := 2; n <= most; n += 2 {
			t.Run(fmt.Sprint(call, n), func(t *testing.T) {
				needTarget(t)
				image := newImage(t, tmpfsDir(t), 1<<20)
				s := launch(t, straced(t, fmt.Sprintf("%s:error=ENOMEM:when=%d", call, n), nil, image))
				if _, err := s.stdout.ReadString('\n'); err == nil {
					s.stop(syscall.SIGTERM)
				} else if status := s.wait(); status != 1 && !strings.Contains(fmt.Sprint(s.stderr), runtimeWakeup) {
					t.Errorf("exit status %d\n%s", status, s.stderr)
				}
			})
		}
	}
}

// A warning names what lunserve waits for, after five seconds and at each further
// signal.
func TestSlowEndIsExplained(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := launch(t, straced(t, "fsync:delay_enter=8s:when=1", nil, image))
	disk := s.line()
	s.signal(syscall.SIGTERM)
	said := s.stderr.await(t, `(?m)^lunserve: warning: still removing disks after [56]s; waiting for the kernel to flush `+disk+`; try dmesg \| tail, or kill -KILL \d+ to remove them by force, and lose what is not flushed\n`)
	s.signal(os.Interrupt)
	s.stderr.await(t, `(?s)`+regexp.QuoteMeta(said[0])+`.*warning: still removing disks after \ds; waiting for the kernel to flush `+disk+`; `)
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// straced returns a command that serves an image with an injected fault. The
// process is lunserve's; strace runs as its grandchild.
func straced(t *testing.T, fault string, paths []string, image string) *exec.Cmd {
	t.Helper()
	need(t, "strace")
	call, _, _ := strings.Cut(fault, ":")
	args := []string{"--daemonize", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null", "--trace=" + call, "--inject=" + fault}
	for _, path := range paths {
		args = append(args, "--trace-path="+path)
	}
	return exec.Command("strace", append(args, binary, image)...)
}

// nextUIO returns the node of the next ring.
func nextUIO() string {
	for n := 0; ; n++ {
		if node := fmt.Sprint("/dev/uio", n); !exists(node) {
			return node
		}
	}
}
