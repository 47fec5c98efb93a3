package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// udev runs udevd until t ends, as on most machines. udevd opens each new disk, and
// each that was closed after writing.
func udev(t *testing.T) {
	t.Helper()
	const daemon, control = "/lib/systemd/systemd-udevd", "/run/udev/control"
	if exists(control) {
		return // the machine's own
	}
	need(t, "udevadm") // in the same package as udevd
	udevd := exec.Command(daemon)
	if err := udevd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		udevd.Process.Signal(syscall.SIGTERM)
		udevd.Wait()
		os.Remove(control)
	})
	for began := time.Now(); !exists(control); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > timeLimit {
			t.Fatalf("%s: not there after %v", control, timeLimit)
		}
	}
	run(t, "udevadm", "control", "--ping")
}

// tried returns the error of a program with its output.
func tried(out string, err error) error {
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// udev opens the disk after the last write. That is not a use that keeps the disk.
func TestUdevIsNoUser(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(t *testing.T, image string) error
	}{
		{"end of a command", func(t *testing.T, image string) error {
			return tried(try(t, binary, "-q", "--run", "mkfs.ext4 -qF $dev", image))
		}},
		{"^C", func(t *testing.T, image string) error {
			s := start(t, "-q", image)
			run(t, "mkfs.ext4", "-qF", s.disks[0])
			s.signal(os.Interrupt)
			select {
			case <-s.exited:
				return nil
			case <-time.After(5 * time.Second):
				return errors.New("the first ^C was not enough")
			}
		}},
		{"detach", func(t *testing.T, image string) error {
			s := start(t, "-q", image)
			run(t, "mkfs.ext4", "-qF", s.disks[0])
			return tried(try(t, binary, "detach", image))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTarget(t)
			udev(t)
			image := newImage(t, tmpfsDir(t), 64<<20)
			for range 5 { // it is a race
				if err := tt.use(t, image); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
