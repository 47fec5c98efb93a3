package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Server and guard are killed while two disks are in use, by all fabrics. The next
// server adopts them: the users see no error, and the nodes stay.
func TestStartAdoptsWhatAKilledServerLeft(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	images := []string{newImage(t, dir, 64<<20), newImage(t, dir, 64<<20)}
	args := append([]string{"--loopback", "--iscsi", "--vhost"}, images...)
	i := newInitiator(t)
	s := start(t, args...)
	lines := []string{s.line(), s.line(), s.line()} // two URLs and a WWPN
	n := i.node(itsName, lines[1])
	remote := n.login()
	// The initiator's disk is LUN 0; nothing else may use that.
	run(t, "mkfs.ext4", "-q", s.disks[1])
	mount(t, s.disks[1], mnt)
	before := list(t)
	waits := []func() (string, error){
		verifying(t, filepath.Join(mnt, "file"), "8", "--fsync=16"),
		verifying(t, remote, "8"),
	}
	for round := range 3 {
		time.Sleep(time.Duration(round) * 300 * time.Millisecond)
		s.killedWithGuard()
		began, old := time.Now(), s
		s = start(t, args...)
		t.Logf("round %d: served again after %v", round, time.Since(began))
		if got := []string{s.disks[0], s.disks[1], s.line(), s.line(), s.line()}; strings.Join(got, " ") != strings.Join(append(old.disks, lines...), " ") {
			t.Errorf("the lines are now %q", got)
		}
		s.stderr.await(t, `adopted the disk \S+ of lunserve \(pid \d+\), which was killed\n`)
	}
	for k, wait := range waits {
		worst, err := wait()
		t.Logf("fio %d: %s", k, worst)
		if err != nil {
			t.Error(err)
		}
	}
	after := list(t)
	if len(after) != 2 || after[0].Name != before[0].Name || after[1].Name != before[1].Name || after[0].Dead {
		t.Errorf("listed are %+v, were %+v", after, before)
	}
	n.logout()
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[1])
	s.ends()
}

// Linux asks once whether a disk is thin provisioned. After an adoption its UNMAP
// still works, though the holes of the image are filled by then.
func TestAdoptedDiskStaysThinProvisioned(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := start(t, image)
	write(t, s.disks[0], 0, noise(1<<20, 1))
	s.killedWithGuard()
	s = start(t, image)
	run(t, "blkdiscard", "-o", "0", "-l", "4096", s.disks[0])
	s.ends()
	holds(t, image, 0, make([]byte, 4096))
	holds(t, image, 4096, noise(1<<20, 1)[4096:])
}

// What is not the disk that was served is not adopted. There is never a second
// disk with its identity, and the message has the command that removes it.
func TestOtherDisksAreNotAdopted(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	detach := func(t *testing.T, said string) {
		t.Helper()
		_, command, ok := strings.Cut(said, "; try lunserve ")
		if !ok {
			t.Fatalf("no command: %s", said)
		}
		command, _, _ = strings.Cut(command, "\n")
		run(t, binary, strings.Fields(command)...)
	}
	for _, tt := range []struct {
		name, want string
		args       []string
		change     func(image string) error
	}{
		{"size", "cannot be adopted: it has 16777216 bytes, not 33554432", nil, func(image string) error { return os.Truncate(image, 32<<20) }},
		{"block size", "cannot be adopted: it is", []string{"--sector-size=4096"}, nil},
		{"read-only", "cannot be adopted: it is", []string{"--read-only"}, nil},
		{"fabric", "makes no loopback target", []string{"--vhost"}, nil},
		{"overlay", "cannot be adopted: it is", []string{"--overlay=" + filepath.Join(dir, "o.qcow2")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := newImage(t, dir, 16<<20)
			s := start(t, image)
			s.killedWithGuard()
			if tt.change != nil {
				if err := tt.change(image); err != nil {
					t.Fatal(err)
				}
			}
			out := fails(t, binary, append(tt.args, image)...)
			if !strings.Contains(out, tt.want) {
				t.Errorf("it says: %s", out)
			}
			detach(t, out)
		})
	}

	t.Run("another file at the path", func(t *testing.T) {
		image, other := newImage(t, dir, 16<<20), newImage(t, dir, 16<<20)
		s := start(t, image)
		wwid := sys(t, s.disks[0], "device/wwid")
		s.killedWithGuard()
		if err := os.Rename(other, image); err != nil {
			t.Fatal(err)
		}
		next := start(t, image)
		said := next.stderr.await(t, `its lunserve was killed .*\n`)
		if next.disks[0] == s.disks[0] || sys(t, next.disks[0], "device/wwid") == wwid {
			t.Errorf("%s has the identity of %s", next.disks[0], s.disks[0])
		}
		detach(t, said[0])
		next.ends()
	})
}
