package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// needTarget checks that nothing is left.
func TestNothingIsLeftAfterSignal(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			needTarget(t)
			s := start(t, newImage(t, tmpfsDir(t), 16<<20))
			if status := s.stop(sig); status != 0 {
				t.Errorf("exit status %d\n%s", status, s.stderr)
			}
			if exists(s.disks[0]) {
				t.Errorf("%s is still there", s.disks[0])
			}
			s.did(s.disks[0])
		})
	}
}

// The users are reported even with --quiet.
func TestFirstInterruptKeepsAMountedDisk(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 64<<20)
	s := start(t, "--quiet", image)
	disk, dir := s.disks[0], t.TempDir()
	run(t, "mkfs.ext4", "-q", disk)
	mount(t, disk, dir)

	s.signal(os.Interrupt)
	said := s.stderr.await(t, `(?m)^lunserve: (\S+) is mounted on (\S+); (.*)$`)
	if said[1] != disk || said[2] != dir || !strings.Contains(said[3], "^C again") {
		t.Errorf("at the first ^C: %q", said[0])
	}
	// It still works.
	if err := os.WriteFile(dir+"/after", noise(1<<20, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	dropCaches(t)
	holds(t, dir+"/after", 0, noise(1<<20, 1))

	if status := s.stop(os.Interrupt); status != 1 {
		t.Errorf("exit status %d after the second ^C\n%s", status, s.stderr)
	}
	s.stderr.await(t, `(?m)^lunserve: .* is mounted on .*: removed anyway`)
	run(t, "umount", dir)

	// Synced data is there once the journal is replayed.
	device := loop(t, image)
	mount(t, device, dir)
	holds(t, dir+"/after", 0, noise(1<<20, 1))
	run(t, "umount", dir)
	run(t, "e2fsck", "-fn", device)
}
