package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/serve/console"
)

// TestMain makes this program one that executes itself, see upgradeItself.
func TestMain(m *testing.M) {
	if over := TakesOver(); over || os.Getenv("LUNSERVE_TEST_UPGRADE") != "" {
		if err := upgradeItself(over); err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

// upgradeItself is a process that hands over to itself, as often as it gets
// SIGUSR2, until SIGTERM. It goes on when it has read a byte, and at a t when it
// has also got SIGTERM.
func upgradeItself(over bool) error {
	c := console.New(os.Stderr, "test")
	s := newService(Options{}, c, starting)
	var h *handOver
	if over {
		if takenErr != nil {
			return takenErr
		}
		s.ignoreSignals()
		var err error
		if s, err = takeOver(Options{Images: []Image{{Path: "a"}}}, c); err != nil {
			return err
		}
		h = s.taken
	} else {
		ring, image := descriptor(os.Stdin), descriptor(os.Stdin)
		for _, fd := range []*int{&ring, &image} {
			var err error
			if *fd, err = unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
				return err
			}
		}
		h = aHandOver()
		h.Guard, h.Disks = nil, h.Disks[:1]
		h.Disks[0].Ring, h.Disks[0].Image = ring, image
	}
	fmt.Println("ready", os.Getpid())
	for {
		select {
		case <-s.stopSignals:
			fmt.Println("ended")
			return nil
		case sig := <-s.userSignals:
			if sig != syscall.SIGUSR2 {
				continue
			}
		}
		held, err := s.holdSignals()
		if err != nil {
			return err
		}
		fmt.Println("held")
		next := make([]byte, 1)
		if _, err := os.Stdin.Read(next); err != nil {
			return err
		}
		for signals := make([]byte, 4096); next[0] == 't' && !bytes.Contains(signals, []byte{byte(syscall.SIGTERM)}); time.Sleep(time.Millisecond) {
			if _, err := unix.Pread(held.fd, signals, 0); err != nil {
				return err
			}
		}
		h.Signals = held.fd
		memory, err := h.encode()
		if err != nil {
			return err
		}
		return execute("/proc/self/exe", fmt.Sprintf("%s=%d", handOverVar, memory), append(h.descriptors(), memory))
	}
}

// A signal that comes while one program hands over to another ends that. Those
// that end no lunserve may come at any time.
func TestSignalsAreHandedOver(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "LUNSERVE_TEST_UPGRADE=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	wants := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, want %q", lines.Text(), want)
		}
	}
	stop := make(chan struct{})
	sent := make(chan struct{})
	const rounds = 10
	for round := range rounds {
		wants(fmt.Sprint("ready ", cmd.Process.Pid))
		if round == 0 {
			go func() { // at any time
				defer close(sent)
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
						_ = cmd.Process.Signal(syscall.SIGUSR1)
					}
				}
			}()
		}
		held := make(chan struct{})
		go func() {
			for { // the channel may be full of the others
				_ = cmd.Process.Signal(syscall.SIGUSR2)
				select {
				case <-held:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		wants("held")
		close(held)
		next := "n"
		if round == rounds-1 {
			next = "t"
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(in, next); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-sent
	for lines.Scan() && lines.Text() != "ended" {
		if text := lines.Text(); text == "held" {
			io.WriteString(in, "n") // the channel had another SIGUSR2
		} else if !strings.HasPrefix(text, "ready") {
			t.Errorf("it says %q", text)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}
