package raw_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// open opens path until the end of the test.
func open(t testing.TB, path string, o raw.Options) backstores.Backstore {
	t.Helper()
	s, err := raw.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newImage opens a new image of size bytes in dir.
func newImage(t testing.TB, dir string, size int64) backstores.Backstore {
	t.Helper()
	return open(t, filepath.Join(dir, "disk.img"), raw.Options{Create: size})
}

func TestRawFile(t *testing.T) {
	for _, place := range storetest.Places {
		t.Run(place.Name, func(t *testing.T) {
			dir := place.Dir(t)
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				os.Remove(filepath.Join(dir, "disk.img"))
				s, err := raw.Open(context.Background(), filepath.Join(dir, "disk.img"), raw.Options{Create: 1<<20 + 777})
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestRawFileReadOnly(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4<<20)
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
		s, err := raw.Open(context.Background(), path, raw.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Callers find abilities by type assertion, so a read-only image must have none
// that change it.
func TestReadOnlyImageHasNoMethodThatChangesIt(t *testing.T) {
	s := open(t, storetest.NewFile(t, t.TempDir(), 1<<20), raw.Options{ReadOnly: true})
	switch s.(type) {
	case io.WriterAt, backstores.VectorWriter, backstores.Flusher, backstores.Trimmer, backstores.Zeroer:
		t.Errorf("%T can be changed", s)
	}
}

func TestExtentsTellDataFromHoles(t *testing.T) {
	for _, place := range storetest.Places[:2] {
		s := newImage(t, place.Dir(t), 4<<20)
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
				t.Errorf("%s: Extent(%d) = %d, %v, %v; want %d, %v", place.Name, tt.off, n, data, err, tt.n, tt.data)
			}
		}
	}
}

func TestTrimGivesSpaceBack(t *testing.T) {
	for _, place := range storetest.Places[:2] {
		t.Run(place.Name, func(t *testing.T) {
			dir := place.Dir(t)
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

func TestFullFileSystemReturnsENOSPC(t *testing.T) {
	dir := storetest.Mount(t, "none", "tmpfs", 0, "size=1m")
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
		t.Errorf("a flush fails on a full file system: %v", err)
	}
	if err := backstores.Trim(s, 0, s.Size()); err != nil {
		t.Fatal(err)
	}
	if err := backstores.WriteVec(s, bufs[:1], 0, backstores.Durable); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Durable write after space was given back: %v", err)
	}
}

// A file that is truncated while it is served has lost data, which must not read
// as zeros.
func TestShrunkImageIsAnError(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 1<<20)
	s := open(t, path, raw.Options{})
	if err := os.Truncate(path, 10_000); err != nil {
		t.Fatal(err)
	}
	want := "PATH: read 8192 bytes at 8192: the image has shrunk: unexpected EOF"
	for _, f := range []backstores.Flag{0, backstores.NoWait} {
		err := backstores.ReadVec(s, [][]byte{make([]byte, 4096), make([]byte, 4096)}, 8192, f)
		if err != backstores.ErrWouldBlock {
			storetest.WantError(t, err, path, want)
		}
	}
	_, err := s.ReadAt(make([]byte, 8192), 8192)
	storetest.WantError(t, err, path, want)
	if _, _, err := backstores.Extent(s, 500_000); err == nil {
		t.Error("Extent past the end of the file succeeds")
	}

	// A write would make the file longer, and what is lost would read as zeros.
	wrong := func(name string, err error) {
		t.Helper()
		if err != backstores.ErrWouldBlock && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		if n := fileSize(t, path); n != 10_000 {
			t.Errorf("%s: the file has %d bytes", name, n)
		}
	}
	block := make([]byte, 4096)
	for _, f := range []backstores.Flag{0, backstores.NoWait, backstores.Durable} {
		for _, off := range []int64{8192, 500_000, 1<<20 - 4096} {
			wrong("WriteVec", backstores.WriteVec(s, [][]byte{block[:100], block[100:]}, off, f))
		}
	}
	_, err = s.(io.WriterAt).WriteAt(block, 500_000)
	wrong("WriteAt", err)
	storetest.WantError(t, err, path, "PATH: write 4096 bytes at 500000: the image has shrunk: unexpected EOF")
	wrong("Zero", backstores.Zero(s, 500_000, 4096))
	wrong("Trim", backstores.Trim(s, 500_000, 4096))
	if err := backstores.WriteVec(s, [][]byte{block}, 4096, 0); err != nil {
		t.Errorf("before the end of the file: %v", err)
	}
	// What was cut off can be brought back.
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := backstores.WriteVec(s, [][]byte{block}, 500_000, 0); err != nil {
		t.Errorf("after the file has its length again: %v", err)
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

// Under NoWait a read of what is not in the page cache does not wait, if the
// file system supports RWF_NOWAIT.
func TestColdReadWouldBlock(t *testing.T) {
	dir := storetest.TempDir(t, "/var/tmp")
	path := storetest.NewFile(t, dir, 0)
	if err := os.WriteFile(path, bytes.Repeat([]byte{1}, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, raw.Options{ReadOnly: true})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 1)}, 0, unix.RWF_NOWAIT); err == unix.EOPNOTSUPP {
		t.Logf("%s: the file system has no RWF_NOWAIT", dir)
		return
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	// The kernel may begin to read under RWF_NOWAIT, and a quick disk may have
	// answered before the kernel looks: such a read succeeds without a wait.
	bufs := [][]byte{make([]byte, 4096)}
	blocked := 0
	for off := int64(0); off < 64<<20; off += 4 << 20 {
		switch err := backstores.ReadVec(s, bufs, off, backstores.NoWait); err {
		case nil:
		case backstores.ErrWouldBlock:
			blocked++
		default:
			t.Errorf("cold: %v", err)
		}
	}
	if blocked == 0 {
		t.Error("no cold read would block")
	}
	if err := backstores.ReadVec(s, bufs, 32<<20, 0); err != nil {
		t.Error(err)
	}
	if err := backstores.ReadVec(s, bufs, 32<<20, backstores.NoWait); err != nil {
		t.Errorf("just read: %v", err)
	}
}

// Vectors of any length are moved without an allocation.
func TestTransfersDoNotAllocate(t *testing.T) {
	for _, place := range storetest.Places[:2] {
		s := newImage(t, place.Dir(t), 4<<20)
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
					t.Errorf("%s: WriteVec of %d buffers, flags %b: %v allocations", place.Name, k, f, n)
				}
				if n := testing.AllocsPerRun(100, func() {
					if err := s.(backstores.VectorReader).ReadVec(bufs, 0, f); err != nil && err != backstores.ErrWouldBlock {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%s: ReadVec of %d buffers, flags %b: %v allocations", place.Name, k, f, n)
				}
			}
		}
	}
}

// Other programs find the bytes of a raw image at the same offsets.
func TestQemuReadsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	s := newImage(t, dir, 1<<20)
	if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{0xab}, 3000), bytes.Repeat([]byte{0xab}, 5000)}, 123_456, 0); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		storetest.Missing(t, "qemu-utils", err)
	}
	storetest.Command(t, "qemu-io", "-f", "raw", "-r",
		"-c", "read -P 0 0 123456", "-c", "read -P 0xab 123456 8000", "-c", "read -P 0 131456 917120",
		filepath.Join(dir, "disk.img"))
}
