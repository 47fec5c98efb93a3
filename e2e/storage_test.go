package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tryWrite writes data to a disk and flushes it.
func tryWrite(path string, off int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(data, off)
	return errors.Join(err, f.Sync())
}

// The flush fails once, and Linux does not repeat it: EREMOTEIO is its error for
// HARDWARE ERROR. What is written when the storage works again is kept.
func TestStorageFailsAndHeals(t *testing.T) {
	needTarget(t)
	d := newStorage(t, 64<<20)
	s := start(t, d.path)
	disk := s.disks[0]
	write(t, disk, 0, noise(1<<20, 1))

	d.fail()
	if err := tryWrite(disk, 1<<20, noise(1<<20, 2)); !errors.Is(err, syscall.EREMOTEIO) {
		t.Errorf("the storage fails: %v", err)
	}
	s.stderr.await(t, `(?m)^lunserve: warning: `+d.path+`: flush: input/output error: what was written since the last flush may be lost, so check the file systems on the disk$`)

	d.heal()
	for n := range 3 {
		if err := tryWrite(disk, 1<<20, noise(1<<20, byte(3+n))); err != nil {
			t.Errorf("write %d after the storage has healed: %v", n, err)
		}
	}
	s.ends()
	holds(t, d.lower, 0, noise(1<<20, 1))
	holds(t, d.lower, 1<<20, noise(1<<20, 5))
}

// While the storage hangs, a COMPARE AND WRITE and a flush wait for it. Reads of
// what the host has in memory go on. The stall is told once, and its end.
func TestStorageHangs(t *testing.T) {
	needTarget(t)
	d := newStorage(t, 64<<20)
	s := start(t, d.path)
	disk := s.disks[0]
	write(t, disk, 0, noise(1<<20, 1))
	pair := filepath.Join(t.TempDir(), "pair")
	if err := os.WriteFile(pair, append(noise(1<<20, 1)[:512], noise(512, 2)...), 0o600); err != nil {
		t.Fatal(err)
	}

	d.suspend()
	done := make(chan error, 2)
	go func() {
		_, err := try(t, "sg_compare_and_write", "--fua", "--in="+pair, "--lba=0", disk)
		done <- err
	}()
	go func() { done <- tryWrite(disk, 1<<20, noise(1<<20, 3)) }()
	s.stderr.await(t, `(?m)^lunserve: warning: `+d.path+`: (COMPARE AND WRITE|a flush) has been waiting for the storage for [5-7]s; try dmesg \| tail$`)
	run(t, "dd", "if="+disk, "of=/dev/null", "bs=4k", "skip=1", "count=200", "iflag=direct")
	if len(done) > 0 {
		t.Errorf("a command did not wait for the storage: %v", <-done)
	}
	d.resume()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.stderr.await(t, `(?m)^lunserve: warning: `+d.path+`: the storage answers again, after \d+s$`)
	if text := fmt.Sprint(s.stderr); strings.Count(text, "waiting for the storage") != 1 {
		t.Errorf("the stall is told more than once:\n%s", text)
	}
	s.ends()
}

// A file that is cut off while it is served stays short: a write after its end
// fails, and what is lost is an error, not zeros.
func TestImageIsCutOff(t *testing.T) {
	needTarget(t)
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			image := newImage(t, place.dir(t), 64<<20)
			s := start(t, image)
			disk := s.disks[0]
			write(t, disk, 32<<20, noise(1<<20, 1))
			if err := os.Truncate(image, 16<<20); err != nil {
				t.Fatal(err)
			}
			if err := tryWrite(disk, 48<<20, noise(4096, 2)); !errors.Is(err, syscall.EIO) {
				t.Errorf("a write after the end: %v", err)
			}
			s.stderr.await(t, `(?m)^lunserve: warning: `+image+`: write 4096 bytes at 50331648: the image has shrunk`)
			fails(t, "dd", "if="+disk, "of=/dev/null", "bs=4k", "skip=8192", "count=1", "iflag=direct")
			if fi, err := os.Stat(image); err != nil || fi.Size() != 16<<20 {
				t.Errorf("the file has %d bytes: %v", fi.Size(), err)
			}
			write(t, disk, 1<<20, noise(4096, 4))
			s.ends()
		})
	}
}
