package e2e

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// The disk's reads wait in every thread that lunserve reads by. It still
// handles a signal, and prints what it is waiting for.
func TestSignalIsHandledWhileStorageDoesNotAnswer(t *testing.T) {
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
			time.Sleep(3 * time.Second)
			began := time.Now()
			if how == "detach" {
				out, err := try(t, "timeout", "60", binary, "detach", "--force", image)
				t.Logf("detach after %v: %v %s", time.Since(began), err, out)
			} else {
				s.signal(syscall.SIGTERM)
			}
			s.stderr.await(t, `(?m)^lunserve: warning: .*`)
			t.Logf("said after %v", time.Since(began))
			select {
			case <-s.exited:
			case <-time.After(100 * time.Second):
			}
			t.Logf("running %v after %v, status %d\n%s", s.running(), time.Since(began), s.status, s.stderr)
			storage.abort()
			s.wait()
			t.Logf("exit after %v, status %d\n%s", time.Since(began), s.status, s.stderr)
			load.Wait()
		})
	}
}
