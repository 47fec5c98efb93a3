package backstores_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A place is a file system to keep images on.
type place struct {
	name string
	dir  func(testing.TB) string
}

// places are file systems that differ in what they know: ext4 or another for
// disks; tmpfs, which has no RWF_NOWAIT and cannot zero a range; ramfs, which
// has neither holes nor fallocate.
var places = []place{
	{"disk", func(t testing.TB) string { return tempDir(t, "/var/tmp") }},
	{"tmpfs", func(t testing.TB) string { return tempDir(t, "/dev/shm") }},
	{"ramfs", func(t testing.TB) string { return mount(t, "none", "ramfs", 0, "") }},
}

func tempDir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "lunserve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newImage opens a new image of size bytes in dir.
func newImage(t testing.TB, dir string, size int64) backstores.Backstore {
	t.Helper()
	return openAs(t, filepath.Join(dir, "disk.img"), backstores.Options{Create: size})
}

func TestRawFile(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			dir := place.dir(t)
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				os.Remove(filepath.Join(dir, "disk.img"))
				s, err := backstores.Open(filepath.Join(dir, "disk.img"), backstores.Options{Create: 1<<20 + 777})
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestRawFileReadOnly(t *testing.T) {
	path := newFile(t, t.TempDir(), 4<<20)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 70_000, 1 << 20, 3 << 20} {
		if _, err := f.WriteAt(bytes.Repeat([]byte("lunserve"), 10_000), off); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		s, err := backstores.Open(path, backstores.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// What a read-only image cannot do must not depend on somebody asking first.
func TestReadOnlyImageHasNoMeansToBeChanged(t *testing.T) {
	s := openAs(t, newFile(t, t.TempDir(), 1<<20), backstores.Options{ReadOnly: true})
	switch s.(type) {
	case io.WriterAt, backstores.VectorWriter, backstores.Flusher, backstores.Trimmer, backstores.Zeroer:
		t.Errorf("%T can be changed", s)
	}
}

func TestExtentsTellDataFromHoles(t *testing.T) {
	for _, place := range places[:2] {
		s := newImage(t, place.dir(t), 4<<20)
		for _, off := range []int64{1 << 20, 3 << 20} {
			if err := backstores.WriteVec(s, [][]byte{make([]byte, 1<<20)}, off, 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			off, n int64
			data   bool
		}{
			{0, 1 << 20, false}, {1<<20 - 1, 1, false}, {1 << 20, 1 << 20, true}, {1<<20 + 5, 1<<20 - 5, true},
			{2 << 20, 1 << 20, false}, {3 << 20, 1 << 20, true}, {4<<20 - 1, 1, true},
		} {
			n, data, err := backstores.Extent(s, tt.off)
			if n != tt.n || data != tt.data || err != nil {
				t.Errorf("%s: Extent(%d) = %d, %v, %v; want %d, %v", place.name, tt.off, n, data, err, tt.n, tt.data)
			}
		}
	}
}

func TestTrimGivesSpaceBack(t *testing.T) {
	for _, place := range places[:2] {
		t.Run(place.name, func(t *testing.T) {
			dir := place.dir(t)
			s := newImage(t, dir, 8<<20)
			allocated := func() int64 {
				var st unix.Stat_t
				if err := unix.Stat(filepath.Join(dir, "disk.img"), &st); err != nil {
					t.Fatal(err)
				}
				return st.Blocks * 512
			}
			if n := allocated(); n > 64<<10 {
				t.Errorf("a new image has %d bytes allocated", n)
			}
			if err := backstores.Zero(s, 0, s.Size()); err != nil {
				t.Fatal(err)
			}
			if n := allocated(); n < s.Size() {
				t.Errorf("after Zero %d bytes are allocated, want %d", n, s.Size())
			}
			if err := backstores.Trim(s, 1<<20, 4<<20); err != nil {
				t.Fatal(err)
			}
			if n := allocated(); n > 5<<20 {
				t.Errorf("after Trim of 4 MiB %d bytes are allocated, want 4 MiB", n)
			}
		})
	}
}

func TestFullFileSystemIsToldApart(t *testing.T) {
	dir := mount(t, "none", "tmpfs", 0, "size=1m")
	s := newImage(t, dir, 16<<20)
	bufs := [][]byte{make([]byte, 1<<20), make([]byte, 1<<20)}
	for name, err := range map[string]error{
		"WriteVec":         backstores.WriteVec(s, bufs, 0, 0),
		"WriteVec NoWait":  backstores.WriteVec(s, bufs[:1], 2<<20, backstores.NoWait),
		"WriteVec Durable": backstores.WriteVec(s, bufs, 4<<20, backstores.Durable),
		"Zero":             backstores.Zero(s, 6<<20, 2<<20),
	} {
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v, want ENOSPC", name, err)
		}
	}
	if err := backstores.Flush(s); err != nil {
		t.Errorf("a full file system is no reason for a flush to fail: %v", err)
	}
	if err := backstores.Trim(s, 0, s.Size()); err != nil {
		t.Fatal(err)
	}
	if err := backstores.WriteVec(s, bufs[:1], 0, backstores.Durable); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Durable write after space was given back: %v", err)
	}
}

// A file that others cut off while it is served has lost data. Zeros in its
// place would be taken for that data.
func TestShrunkImageIsAnError(t *testing.T) {
	path := newFile(t, t.TempDir(), 1<<20)
	s := openAs(t, path, backstores.Options{})
	if err := os.Truncate(path, 10_000); err != nil {
		t.Fatal(err)
	}
	want := "PATH: read 8192 bytes at 8192: the image has shrunk: unexpected EOF"
	for _, f := range []backstores.Flag{0, backstores.NoWait} {
		err := backstores.ReadVec(s, [][]byte{make([]byte, 4096), make([]byte, 4096)}, 8192, f)
		if err != backstores.ErrWouldBlock {
			wantError(t, err, path, want)
		}
	}
	_, err := s.ReadAt(make([]byte, 8192), 8192)
	wantError(t, err, path, want)
	if _, _, err := backstores.Extent(s, 500_000); err == nil {
		t.Error("what was cut off is an extent")
	}
}

func TestSecondCloseIsAnError(t *testing.T) {
	s := newImage(t, t.TempDir(), 1<<20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// Reads of what is not in the page cache may not wait under NoWait, where the
// file system can tell.
func TestColdReadWouldBlock(t *testing.T) {
	dir := tempDir(t, "/var/tmp")
	path := newFile(t, dir, 0)
	if err := os.WriteFile(path, bytes.Repeat([]byte{1}, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := openAs(t, path, backstores.Options{ReadOnly: true})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 1)}, 0, unix.RWF_NOWAIT); err == unix.EOPNOTSUPP {
		t.Logf("%s: the file system cannot tell; its pace is tested elsewhere", dir)
		return
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	bufs := [][]byte{make([]byte, 4096)}
	if err := backstores.ReadVec(s, bufs, 32<<20, backstores.NoWait); err != backstores.ErrWouldBlock {
		t.Errorf("cold: %v, want ErrWouldBlock", err)
	}
	if err := backstores.ReadVec(s, bufs, 32<<20, 0); err != nil {
		t.Error(err)
	}
	if err := backstores.ReadVec(s, bufs, 32<<20, backstores.NoWait); err != nil {
		t.Errorf("read a moment ago: %v", err)
	}
}

// The promise of no allocation is for vectors of any length.
func TestTransfersDoNotAllocate(t *testing.T) {
	for _, place := range places[:2] {
		s := newImage(t, place.dir(t), 4<<20)
		for _, k := range []int{1, 8, 9, 300} {
			bufs := make([][]byte, k)
			for i := range bufs {
				bufs[i] = make([]byte, 512)
			}
			for _, f := range []backstores.Flag{0, backstores.NoWait} {
				if n := testing.AllocsPerRun(100, func() {
					if err := s.(backstores.VectorWriter).WriteVec(bufs, 0, f); err != nil && err != backstores.ErrWouldBlock {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%s: WriteVec of %d buffers, flags %b: %v allocations", place.name, k, f, n)
				}
				if n := testing.AllocsPerRun(100, func() {
					if err := s.(backstores.VectorReader).ReadVec(bufs, 0, f); err != nil && err != backstores.ErrWouldBlock {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%s: ReadVec of %d buffers, flags %b: %v allocations", place.name, k, f, n)
				}
			}
		}
	}
}

// Others who know raw images must find the bytes where lunserve put them.
func TestQemuReadsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	s := newImage(t, dir, 1<<20)
	if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{0xab}, 3000), bytes.Repeat([]byte{0xab}, 5000)}, 123_456, 0); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		lacks(t, "qemu-utils", err)
	}
	run(t, "qemu-io", "-f", "raw", "-r",
		"-c", "read -P 0 0 123456", "-c", "read -P 0xab 123456 8000", "-c", "read -P 0 131456 917120",
		filepath.Join(dir, "disk.img"))
}
