package serve

import (
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heldSignals keep the signals that come during an upgrade, in a memfd with a byte
// for each, until a program heeds them: the new one, or this one if that is not
// executed.
//
// Blocked signals stay pending over execve, but Go unblocks those that end a
// process when it starts, before it handles any. So the signals are taken by the
// old program, whose threads run until execve ends them, and passed on as data.
//
// From then on until the new program calls TakesOver, a few milliseconds later, a
// signal that ends processes ends it: like a kill, after which the guard removes
// the disks in good order, or goes on with them with --restart. SIGUSR1 and SIGUSR2
// stay blocked, so that they do no harm. A signal is lost only if a thread has
// taken it in the microseconds before execve ends that thread.
type heldSignals struct {
	fd      int
	service *service
	mask    unix.Sigset_t // before
	stop    chan struct{}
	stopped chan struct{}
}

// holdSignals holds signals until release. No process may be started from this
// goroutine until then: that would unblock them.
func (s *service) holdSignals() (*heldSignals, error) {
	fd, err := newMemfd()
	if err != nil {
		return nil, err
	}
	h := &heldSignals{fd: fd, service: s, stop: make(chan struct{}), stopped: make(chan struct{})}
	runtime.LockOSThread()
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(syscall.SIGUSR1, syscall.SIGUSR2), &h.mask); err != nil {
		runtime.UnlockOSThread()
		unix.Close(fd)
		return nil, err
	}
	go h.hold()
	return h, nil
}

func (h *heldSignals) hold() {
	defer close(h.stopped)
	for {
		var sig os.Signal
		select {
		case sig = <-h.service.stopSignals:
		case sig = <-h.service.userSignals:
		case <-h.stop:
			return
		}
		_, _ = unix.Write(h.fd, []byte{byte(sig.(syscall.Signal))})
	}
}

// release lets this program heed the signals.
func (h *heldSignals) release() error {
	close(h.stop)
	<-h.stopped
	err := unix.PthreadSigmask(unix.SIG_SETMASK, &h.mask, nil)
	runtime.UnlockOSThread()
	h.service.heed(h.fd)
	return err
}

// heed passes held signals on to the service, and closes their memfd.
func (s *service) heed(fd int) {
	held := make([]byte, 4096)
	n, _ := unix.Pread(fd, held, 0)
	unix.Close(fd)
	for _, sig := range held[:max(n, 0)] {
		to := s.userSignals
		if slices.Contains(stopping, os.Signal(syscall.Signal(sig))) {
			to = s.stopSignals
		}
		select {
		case to <- syscall.Signal(sig):
		default: // as package signal does
		}
	}
}

// signalSet returns a set of signals.
func signalSet(signals ...syscall.Signal) *unix.Sigset_t {
	set := new(unix.Sigset_t)
	bits := 8 * int(unsafe.Sizeof(set.Val[0]))
	for _, sig := range signals {
		n := int(sig) - 1
		set.Val[n/bits] |= 1 << (n % bits)
	}
	return set
}
