package confine

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The fields of struct seccomp_data that the filter loads.
const (
	dataCall = 0  // number of the system call
	dataArch = 4  // its architecture
	dataArgs = 16 // six of 64 bits, little-endian on the machines of calls.go
	allow    = unix.SECCOMP_RET_ALLOW
	refuse   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	x32Bit   = 0x40000000 // in the number of a call of x86-64 with 32-bit pointers
)

// offersFilter reports whether the kernel filters system calls, and this program
// has a filter for its architecture.
func offersFilter() bool {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return arch != 0 && e == 0
}

// filterCalls filters the system calls of all threads.
func filterCalls() (is bool, err error) {
	if !offersFilter() {
		return false, nil
	}
	program := filter(arch, refused)
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// The filter does not keep secrets from this process, so the protections
	// against speculation, which older kernels add, would only cost time.
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	failed, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	switch {
	case e != 0:
		return false, fmt.Errorf("seccomp: %w", e)
	case failed != 0:
		return false, fmt.Errorf("seccomp: thread %d cannot be filtered", failed)
	}
	return true, nil
}

// filter returns a program that refuses calls, and calls of another architecture:
// their numbers mean other calls. The kernel notes the calls that the program
// allows whatever their arguments are, and does not run it for these again
// (Linux 5.11): reads and writes cost as much as before.
func filter(arch uint32, calls []uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	answer := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	p := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, arch, 1, 0),
		answer(refuse),
		load(dataCall),
	}
	if arch == unix.AUDIT_ARCH_X86_64 {
		p = append(p, jump(unix.BPF_JGE, x32Bit, 0, 1), answer(refuse))
	}
	for _, call := range calls {
		p = append(p, jump(unix.BPF_JEQ, call, 0, 1), answer(refuse))
	}
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 1, 0), answer(allow))
	p = append(p, load(dataArgs))
	for _, family := range []uint32{unix.AF_UNIX, unix.AF_NETLINK} {
		p = append(p, jump(unix.BPF_JEQ, family, 0, 1), answer(allow))
	}
	return append(p, answer(refuse))
}
