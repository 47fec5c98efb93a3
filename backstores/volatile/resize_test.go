package volatile

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// filled returns a store over a file of bytes that are not zero.
func filled(t *testing.T, size int64) (s *Store, path string) {
	t.Helper()
	path = filepath.Join(storetest.MemDir(t), "image")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0x55}, int(size)), 0o600); err != nil {
		t.Fatal(err)
	}
	below := open(t, path)
	t.Cleanup(func() { below.Close() })
	return New(below, true), path
}

func write(t *testing.T, s *Store, off, n int64, f backstores.Flag) {
	t.Helper()
	if err := s.WriteVec([][]byte{bytes.Repeat([]byte{0xaa}, int(n))}, off, f); err != nil {
		t.Fatal(err)
	}
}

func TestPowerCutAfterTheDiskHasGrown(t *testing.T) {
	const end = 1<<20 + 512 // in the middle of a page
	s, path := filled(t, end)
	write(t, s, end-512, 512, 0)
	if err := s.Resize(2 << 20); err != nil {
		t.Fatal(err)
	}
	write(t, s, end+512, 512, backstores.Durable)
	write(t, s, end+1536, 512, 0)
	if _, err := s.Cut(nil); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 2<<20)
	copy(want, bytes.Repeat([]byte{0x55}, end))
	copy(want[end+512:], bytes.Repeat([]byte{0xaa}, 512))
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("not as at the last flush: %v", err)
	}
}

// Others have made the file shorter, and then longer again.
func TestPowerCutAfterTheFileWasCutShort(t *testing.T) {
	s, path := filled(t, 1<<20)
	write(t, s, 1<<19, 1<<19, 0)
	for _, size := range []int64{1<<19 + 100, 1 << 20} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := s.Resize(0); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteVec([][]byte{make([]byte, 512)}, size, 0); err == nil {
			t.Error("a write beyond the end succeeds")
		}
	}
	if _, err := s.Cut(nil); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 1<<20)
	copy(want, bytes.Repeat([]byte{0x55}, 1<<19+100))
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what was cut off is back: %v", err)
	}
}

// Of each MiB, all pages but one are durable.
func TestMemoryIsThatOfWhatIsNotDurable(t *testing.T) {
	const size = 64 << 20
	s, _ := filled(t, size)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for off := int64(0); off < size; off += 1 << 20 {
		write(t, s, off, 1<<20, 0)
		write(t, s, off, 1<<20-page, backstores.Durable)
	}
	if grew := heap() - before; grew > s.log.bytes+8<<20 {
		t.Errorf("%d bytes for %d that are counted", grew, s.log.bytes)
	}
	runtime.KeepAlive(s)
}
