package e2e

import (
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var powercuts = goflag.Int("powercuts", 2, "how often lunserve powercut cuts the power of a disk below ext4")

// The power of a disk is cut below ext4 at a random moment. Then e2fsck finds nothing
// but a journal to replay, and each file that was synced is whole: in the image while
// the power is off, and on the disk when it is back.
func TestPowercutKeepsWhatWasSynced(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image := newImage(t, dir, 96<<20)
	s := startProgram(t, install(t, dir), "--fault-track", image)
	run(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", s.disks[0])
	t.Logf("seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 4))
	mnt, synced := t.TempDir(), 0
	for round := range *powercuts {
		files, damage := cutBelowExt4(t, s, image, mnt, r)
		synced += files.files
		for _, d := range damage {
			t.Error(d)
		}
		run(t, binary, "powercut", "--on", image)
		run(t, "mount", s.disks[0], mnt)
		files.whole(t, files.dir)
		if err := os.RemoveAll(files.dir); err != nil {
			t.Error(err)
		}
		run(t, "umount", mnt)
		run(t, "e2fsck", "-fn", s.disks[0])
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d files were synced", synced)
	// It ends without power: the image is as at the last flush.
	files, _ := cutBelowExt4(t, s, image, mnt, r)
	s.signal(syscall.SIGUSR2)
	s.stderr.await(t, `not upgraded, the disks stay: `+image+`: has no power\n`)
	s.ends()
	checkExt4(t, image, 0)
	s = start(t, "--fault-track", image)
	mount(t, s.disks[0], mnt)
	files.whole(t, files.dir)
	run(t, "umount", mnt)
	s.ends()
}

// The temporary writes of a snapshot are lost, too, and the image never had them.
func TestPowercutOfASnapshot(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	run(t, "mkfs.ext4", "-q", image)
	before, mnt := read(t, image, 0, 16<<20), t.TempDir()
	s := start(t, "--snapshot", "--fault-track", image)
	run(t, "mount", s.disks[0], mnt)
	files := &syncer{dir: mnt}
	if err := files.writeNext(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mnt, "other"), noise(4096, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, binary, "powercut", image)
	if listed := run(t, binary, "list"); !strings.Contains(listed, "\n  without power; ") {
		t.Error(listed)
	}
	run(t, "umount", mnt)
	run(t, binary, "powercut", "--on", image)
	run(t, "mount", s.disks[0], mnt)
	wholeFiles(t, mnt, 1)
	if exists(filepath.Join(mnt, "other")) {
		t.Error("a file is there that was not synced")
	}
	run(t, "umount", mnt)
	s.ends()
	holds(t, image, 0, before)
}

// The check above fails with a disk that does not flush.
func TestPowercutFindsADiskThatDoesNotFlush(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 96<<20)
	run(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	s := start(t, "--fault-track", "--fault=flush: lost", image)
	r := rand.New(rand.NewPCG(*seed, 5))
	mnt := t.TempDir()
	for round := range 5 {
		if _, damage := cutBelowExt4(t, s, image, mnt, r); len(damage) > 0 {
			t.Logf("in round %d: %.200s", round, damage)
			s.ends()
			return
		}
		run(t, binary, "powercut", "--on", image)
	}
	t.Error("nothing that was synced was lost")
}

// cutBelowExt4 mounts a disk, writes and syncs files in a new folder, cuts the power at
// a random moment, and unmounts it. It returns the files, and what is wrong in the
// image.
func cutBelowExt4(t *testing.T, s *server, image, mnt string, r *rand.Rand) (files *syncer, damage []string) {
	t.Helper()
	run(t, "mount", s.disks[0], mnt)
	dir, err := os.MkdirTemp(mnt, "files")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(mnt); err != nil || f.Sync() != nil { // the folder itself
		t.Fatal(err)
	} else {
		f.Close()
	}
	stop := make(chan struct{})
	loaded := make(chan struct{})
	go func() { // what is not synced
		defer close(loaded)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			other := filepath.Join(dir, fmt.Sprint("other", n%20))
			_ = os.WriteFile(other, noise(n%64<<10, byte(n)), 0o644)
			_ = os.Rename(other, other+"renamed")
			time.Sleep(time.Millisecond)
		}
	}()
	files = startSyncing(t, dir)
	time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
	args := []string{"powercut", image}
	if r.IntN(2) == 0 {
		args = append(args, "--random")
	}
	run(t, binary, args...)
	close(stop)
	<-loaded
	<-files.ended
	run(t, "umount", mnt)
	cut := image + ".cut"
	run(t, "cp", "--sparse=always", image, cut)
	defer os.Remove(cut)
	// Files lie in a folder of their own: none at the top is looked for.
	damage = ext4Damage(t, cut, 0)
	loopMnt := t.TempDir()
	run(t, "mount", "-o", "loop", cut, loopMnt)
	if bad := brokenFiles(filepath.Join(loopMnt, filepath.Base(dir)), files.files); bad != "" {
		damage = append(damage, bad)
	}
	run(t, "umount", loopMnt)
	return files, damage
}

// A disk that goes on in another process has lost nothing: the cache of a process that
// is killed was written.
func TestPowercutAfterARestart(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--restart", "--fault-track", image)
	put := func(at int64, data []byte) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "dd", "if="+file, "of="+s.disks[0], "bs=4k", fmt.Sprint("seek=", at/4096), "oflag=direct", "conv=notrunc")
	}
	before, after := noise(8192, 1), noise(8192, 2)
	put(1<<20, before)
	first := s.cmd.Process.Pid
	s.signal(syscall.SIGKILL)
	serverOf(t, image, first)
	put(2<<20, after)
	if out := run(t, binary, "powercut", image); !strings.Contains(out, ": 8.0 KiB that was not flushed is lost\n") {
		t.Error(out)
	}
	holds(t, image, 1<<20, before)
	holds(t, image, 2<<20, make([]byte, 8192))
	run(t, binary, "detach", image)
	s.wait()
}

// Writes that go to an overlay are lost there.
func TestPowercutOfAnOverlay(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image, overlay := newImage(t, dir, 16<<20), "--overlay="+filepath.Join(dir, "overlay.qcow2")
	s := start(t, overlay, "--fault-track", image)
	synced := noise(1<<20, 1)
	write(t, s.disks[0], 1<<20, synced)
	for _, n := range []int64{1<<20 + 4096, 5 << 20} {
		run(t, "dd", "if=/dev/urandom", "of="+s.disks[0], "bs=64k", "count=8", "oflag=direct,seek_bytes", fmt.Sprint("seek=", n))
	}
	run(t, "blkdiscard", "--offset", fmt.Sprint(3<<19), "--length", "65536", s.disks[0])
	run(t, binary, "powercut", image)
	s.ends()
	s = start(t, overlay, image)
	holds(t, s.disks[0], 1<<20, synced)
	holds(t, s.disks[0], 5<<20, make([]byte, 1<<20))
	s.ends()
	run(t, "qemu-img", "check", "-f", "qcow2", filepath.Join(dir, "overlay.qcow2"))
}

// A disk without power is removed without a flush, and the others of its server with
// one.
func TestPowercutOfOneOfTwoDisks(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	a, b := newImage(t, dir, 16<<20), newImage(t, dir, 16<<20)
	s := start(t, "--fault-track", a, b)
	data := noise(1<<20, 3)
	for _, disk := range s.disks {
		f, err := os.OpenFile(disk, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() // the last one writes what is cached
		if _, err := f.WriteAt(data, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	run(t, binary, "powercut", a)
	if status := s.stop(syscall.SIGTERM); status != 1 { // they are open
		t.Errorf("exit status %d", status)
	}
	s.stderr.await(t, `removed anyway\n`)
	holds(t, a, 1<<20, make([]byte, len(data)))
	holds(t, b, 1<<20, data)
}
