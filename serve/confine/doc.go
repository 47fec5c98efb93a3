// Package confine takes from this process, for good, what it needs no more.
//
// A server of disks runs as root and parses what others wrote: images, commands
// of initiators. A fault in that must not reach the whole machine. So when a
// server has what it needs, it gives up the rest, in four ways that the kernel
// enforces:
//
//   - no_new_privs: no program that it executes gains privileges.
//   - Landlock, since Linux 5.13: of the files that are not open yet, only those
//     of a list can be opened, and only the directories of it be changed.
//   - seccomp: system calls that serving never needs are refused, such as
//     ptrace, mount, and sockets of a network.
//   - Capabilities: all are dropped but those of a list.
//
// All threads and all processes that they start are confined. What is open stays
// usable. A kernel without one of these is no error: [State] says what holds.
//
// The package imports no other package of lunserve, and knows nothing of disks:
// its caller says what is needed.
package confine
