package image_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// handOver returns duplicates of the descriptors, as execve leaves them.
func handOver(t *testing.T, base, top backstores.Backstore) (fd, over int) {
	t.Helper()
	fd, over, err := image.HandOver(base, top)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*int{&fd, &over} {
		if *n >= 0 {
			if *n, err = unix.FcntlInt(uintptr(*n), unix.F_DUPFD_CLOEXEC, 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	return fd, over
}

// Nothing is flushed or closed: the next program finds what was written.
func TestInheritedOverlayHoldsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	path, over := storetest.NewFile(t, dir, 1<<20), filepath.Join(dir, "over.qcow2")
	base := open(t, path, reading)
	top, _, err := image.OpenOverlay(ctx, over, base, path, false)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{7}, 4096)
	if err := backstores.WriteVec(top, [][]byte{data}, 8192, 0); err != nil {
		t.Fatal(err)
	}
	fd, overFd := handOver(t, base, top)
	for _, name := range []string{path, over} {
		if err := os.Rename(name, name+".moved"); err != nil {
			t.Fatal(err)
		}
	}
	base, err = image.Inherit(path, fd, 1<<20, reading)
	if err != nil {
		t.Fatal(err)
	}
	next, kept, err := image.InheritOverlay(over, overFd, base, false)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	got := make([]byte, 4096)
	if err := backstores.ReadVec(next, [][]byte{got}, 8192, 0); err != nil || !bytes.Equal(got, data) || kept != 4096 {
		t.Errorf("%d bytes are kept; block reads % x…, %v", kept, got[:4], err)
	}
}

// A disk is served raw as long as it is served, whatever is written to it.
func TestInheritedImageStaysRaw(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 1<<20)
	s := open(t, path, writing)
	fd, _ := handOver(t, s, s)
	if err := os.WriteFile(path, append([]byte("\x28\xb5\x2f\xfd"), make([]byte, 1<<20-4)...), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := image.Inherit(path, fd, 1<<20, writing)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, _, err := image.HandOver(next, next); err != nil {
		t.Error(err)
	}
}

// What another program could not go on with is refused while nothing is lost.
func TestWhatCannotBeInheritedIsRefused(t *testing.T) {
	dir := t.TempDir()
	path, over := storetest.NewFile(t, dir, 1<<20), filepath.Join(dir, "over.qcow2")
	base := open(t, path, reading)
	temporary, err := image.Snapshot(ctx, base, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := image.HandOver(base, temporary); err == nil {
		t.Error("temporary writes are handed over")
	}
	top, _, err := image.OpenOverlay(ctx, over, base, path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := image.HandOver(base, top); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := image.HandOver(base, top); err == nil {
		t.Error("an overlay is handed over whose base has changed")
	}
	other := make(memory, 512)
	if _, _, err := image.HandOver(other, other); err == nil {
		t.Error("an image without a file is handed over")
	}
}

// What the next program reads before it serves any disk is read before: if storage hangs
// that waits, and no disk does.
func TestHandOverReadsWhatInheritReads(t *testing.T) {
	dir := t.TempDir()
	path, over := storetest.NewFile(t, dir, 1<<20), filepath.Join(dir, "over.qcow2")
	base := open(t, path, reading)
	top, _, err := image.OpenOverlay(ctx, over, base, path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := backstores.WriteVec(top, [][]byte{bytes.Repeat([]byte{7}, 4096)}, 8192, 0); err != nil {
		t.Fatal(err)
	}
	plain := storetest.NewFile(t, t.TempDir(), 1<<20)
	disk := open(t, plain, writing)
	reads := func(do func() error) (n uint64) {
		t.Helper()
		before := readCalls(t)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		return readCalls(t) - before
	}
	var fd, overFd, diskFd int
	prepared := reads(func() (err error) {
		if fd, overFd, err = image.HandOver(base, top); err == nil {
			diskFd, _, err = image.HandOver(disk, disk)
		}
		return err
	})
	for _, n := range []*int{&fd, &overFd, &diskFd} {
		if *n, err = unix.FcntlInt(uintptr(*n), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			t.Fatal(err)
		}
	}
	inherited := reads(func() error {
		base, err := image.Inherit(path, fd, 1<<20, reading)
		if err != nil {
			return err
		}
		if top, _, err = image.InheritOverlay(over, overFd, base, false); err != nil {
			return err
		}
		defer top.Close()
		s, err := image.Inherit(plain, diskFd, 1<<20, writing)
		if err != nil {
			return err
		}
		return s.Close()
	})
	if prepared < inherited {
		t.Errorf("HandOver reads %d times, Inherit %d times", prepared, inherited)
	}
}

// readCalls returns how often this process has read.
func readCalls(t *testing.T) (n uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "syscr: ")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

type memory []byte

func (m memory) Size() int64                             { return int64(len(m)) }
func (m memory) Close() error                            { return nil }
func (m memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m[off:]), nil }
