package confine

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// An older kernel gets none of the rights that it does not know.
func TestRightsOfEachABI(t *testing.T) {
	for abi, want := range map[int]uint64{1: 1<<13 - 1, 2: 1<<14 - 1, 3: 1<<15 - 1, 4: 1<<15 - 1, 5: 1<<16 - 1, 9: 1<<16 - 1} {
		if got := handled(abi); got != want {
			t.Errorf("ABI %d: %x, want %x", abi, got, want)
		}
	}
}

// A path may lead to a pipe, as with --chap-file <(command), or to a socket or memfd, as
// with --trace=/dev/stderr. That costs no other rule.
func TestPathsWithoutAFileSystemCostNothing(t *testing.T) {
	if landlockABI() == 0 {
		t.Skip("the kernel has no Landlock")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, fd := range append(sockets[:], memory) {
			unix.Close(fd)
		}
	}()
	rules, err := newRules(handled(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(rules)
	for _, fd := range []int{int(r.Fd()), int(w.Fd()), sockets[0], memory} {
		p := Path{fmt.Sprint("/proc/self/fd/", fd), Read | Write}
		if err := p.add(rules, handled(1)); err != nil {
			t.Error(err)
		}
	}
}
