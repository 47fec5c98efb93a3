package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A command that hangs ends with a reset: of the logical unit, and of the target where
// that resets its units. Linux sends it again, and it succeeds; then the disk can be
// removed.
func TestFaultsEndWithAReset(t *testing.T) {
	for _, reset := range []struct{ name, option string }{{"loopback", "--device"}, {"userspace", "--device"}, {"userspace", "--target"}} {
		t.Run(reset.name+reset.option, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 16<<20)
			data := noise(4096, 6)
			write(t, image, 1<<20, data)
			s := launch(t, exec.Command(binary, "--"+reset.name, image))
			disk := s.line()
			end := s.ends
			if reset.name == "userspace" {
				n := newInitiator(t).node(itsName, disk)
				disk = n.login()
				end = func() { n.logout(); s.ends() }
			}
			setFaults(t, image, "read lba 2048 once: hang")
			dd := exec.Command("dd", "if="+disk, "bs=4k", "skip=256", "count=1", "iflag=direct", "status=none")
			var got bytes.Buffer
			dd.Stdout = &got
			if err := dd.Start(); err != nil {
				t.Fatal(err)
			}
			awaitFired(t, image)
			began := time.Now()
			run(t, "sg_reset", reset.option, "--no-esc", disk)
			if err := dd.Wait(); err != nil || !bytes.Equal(got.Bytes(), data) {
				t.Errorf("dd: %v", err)
			}
			if took := time.Since(began); took > 20*time.Second { // Linux aborts it after 30 s
				t.Errorf("it took %v", took)
			}
			end()
		})
	}
}

// A removable disk on which everything hangs is polled by the kernel, and looking for
// its users opens it. ^C removes it nevertheless.
func TestFaultsDoNotKeepARemovableDisk(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--removable", image)
	setFaults(t, image, "any: hang")
	opens := exec.Command("dd", "if="+s.disks[0], "of=/dev/null", "bs=4k", "count=1", "iflag=direct")
	if err := opens.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFired(t, image)
	began := time.Now()
	status := s.stop(os.Interrupt)
	t.Logf("removed after %v, exit status %d", time.Since(began), status)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	_ = opens.Wait()
}

// A start that fails when its disk is there, and misbehaves, removes it at once.
func TestFaultsDoNotKeepADiskThatIsNotAnnounced(t *testing.T) {
	needTarget(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := exec.Command(binary, "--fault=any: hang", newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stdout = full
	began := time.Now()
	if status := launch(t, cmd).wait(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
