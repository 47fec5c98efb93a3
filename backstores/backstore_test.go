package backstores_test

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A memory is a store without abilities: the suite tests the functions of package
// backstores on it.
type memory struct {
	mu   sync.RWMutex
	data []byte
}

func (m *memory) Size() int64  { return int64(len(m.data)) }
func (m *memory) Close() error { return nil }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := copy(p, m.data[min(off, m.Size()):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

type writableMemory struct{ memory }

func (m *writableMemory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off > m.Size()-int64(len(p)) {
		return 0, errors.New("past the end")
	}
	return copy(m.data[off:], p), nil
}

func TestStoreWithoutAbilities(t *testing.T) {
	storetest.Run(t, func(testing.TB) backstores.Backstore {
		m := &memory{data: make([]byte, 1<<20)}
		for i := range m.data {
			m.data[i] = byte(i % 251)
		}
		return m
	})
}

func TestStoreThatIsOnlyAWriterAt(t *testing.T) {
	storetest.Run(t, func(testing.TB) backstores.Backstore {
		return &writableMemory{memory{data: make([]byte, 1<<20+1)}}
	})
}

// A flusher counts flushes.
type flusher struct {
	writableMemory
	flushes int
}

func (f *flusher) Flush() error { f.flushes++; return nil }

func TestDurableWriteWithoutVectorWriterFlushes(t *testing.T) {
	f := &flusher{writableMemory: writableMemory{memory{data: make([]byte, 4096)}}}
	for _, flag := range []backstores.Flag{0, backstores.Durable} {
		if err := backstores.WriteVec(f, [][]byte{{1}, {2}}, 0, flag); err != nil {
			t.Fatal(err)
		}
	}
	if f.flushes != 1 {
		t.Errorf("%d flushes for one plain and one durable write, want 1", f.flushes)
	}
}
