package e2e

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestStartThatWaitsIsInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			needTarget(t)
			storage := newFUSE(t, 1<<20)
			exists(storage.dir) // answered, as the connection is up then
			storage.silence()
			image := filepath.Join(storage.dir, "disk.img")
			s := launch(t, exec.Command(binary, image))
			storage.await(t)
			if status := s.stop(sig); status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			s.stderr.await(t, `^lunserve: `+image+`: interrupted; its storage does not answer\n$`)
		})
	}
}

// Reads of the disk block threads of lunserve in the kernel. Yet it reacts to a
// signal and to detach, names what it waits for, and ends once the reads fail.
func TestServerStopsWhileStorageDoesNotAnswer(t *testing.T) {
	for _, how := range []string{"SIGTERM", "detach"} {
		t.Run(how, func(t *testing.T) {
			needTarget(t)
			storage := newFUSE(t, 64<<20)
			image := filepath.Join(storage.dir, "disk.img")
			s := start(t, image)
			storage.silence()
			load := exec.Command("fio", "--name=load", "--filename="+s.disks[0], "--rw=randread", "--bs=4k", "--direct=1",
				"--ioengine=libaio", "--iodepth=64")
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			storage.await(t)
			if how == "SIGTERM" {
				s.signal(syscall.SIGTERM)
			} else {
				detach := exec.Command(binary, "detach", "--force", image)
				if err := detach.Start(); err != nil {
					t.Fatal(err)
				}
				defer detach.Wait()
			}
			s.stderr.await(t, `(?m)^lunserve: warning: still removing disks after \ds; waiting for the kernel to .*`+s.disks[0])
			storage.abort()
			if status := s.wait(); status != 1 { // in use, and not flushed
				t.Errorf("exit status %d", status)
			}
			load.Wait()
		})
	}
}
