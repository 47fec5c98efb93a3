package cli

import "runtime"

// Locked in init, the main goroutine stays on the main thread of the process.
func init() { runtime.LockOSThread() }

// offMainThread returns f's exit status. It runs f in another goroutine, so that
// the main thread never waits for storage. It must be called from the main goroutine.
//
// The kernel gives a signal that is sent to the process to the main thread
// alone, unless that blocks it (complete_signal in kernel/signal.c). A thread
// in an uninterruptible or killable wait, for example for a dead FUSE or NFS
// server, handles the signal only when the wait is over, and no other thread
// handles it instead: SIGTERM would have no effect until the storage answers. A
// main thread that only waits in the Go scheduler (futex) runs the runtime's
// handler immediately.
func offMainThread(f func() int) int {
	status := make(chan int)
	go func() { status <- f() }()
	return <-status
}
