package cli

import "runtime"

// Locked in init, the main goroutine stays on the main thread of the process.
func init() { runtime.LockOSThread() }

// offMainThread returns f's exit status. It runs f in another goroutine, so that
// the main thread never waits for storage. It must be called from the main goroutine.
//
// The kernel gives a signal that is sent to the process to the main thread, if
// that does not block it (complete_signal in kernel/signal.c), and to that
// thread alone. A thread in an uninterruptible or killable wait, as for a FUSE
// or NFS server that does not answer, handles it when the wait is over, and no
// other thread does so in its place: SIGTERM would be lost for as long as the
// storage is. A main thread that only waits in the Go scheduler (futex) runs the
// runtime's handler at once.
func offMainThread(f func() int) int {
	status := make(chan int)
	go func() { status <- f() }()
	return <-status
}
