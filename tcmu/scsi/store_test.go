package scsi

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/lunserve/lunserve/backstores"
)

// A memStore is a read-only store in memory. It records its calls, and can be
// told to fail.
type memStore struct {
	mu    sync.Mutex
	bytes []byte
	calls []string         // such as "read 512 at 0"
	fails map[string]error // by the first word of the call
	busy  bool             // calls with NoWait would block
	bad   int64            // offset of a byte that cannot be accessed; 0: none
}

var (
	errPast = errors.New("past the end")
	errBad  = errors.New("bad sector")
)

// begin records a call, and returns its error.
func (m *memStore) begin(call string, off, n int64, f backstores.Flag) error {
	text := fmt.Sprintf("%s %d at %d", call, n, off)
	if f&backstores.NoWait != 0 {
		text += " nowait"
	}
	if f&backstores.Durable != 0 {
		text += " durable"
	}
	m.calls = append(m.calls, text)
	switch {
	case f&backstores.NoWait != 0 && m.busy:
		return backstores.ErrWouldBlock
	case m.fails[call] != nil:
		return m.fails[call]
	case off < 0 || n < 0 || off+n > int64(len(m.bytes)):
		return errPast
	case m.bad > 0 && off <= m.bad && m.bad < off+n:
		return errBad
	}
	return nil
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func (m *memStore) Close() error { return nil }

func (m *memStore) Size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.bytes))
}

func (m *memStore) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m.bytes)) {
		return 0, io.EOF
	}
	if err := m.ReadVec([][]byte{p}, off, 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m *memStore) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("read", off, total(bufs), f); err != nil {
		return err
	}
	for _, b := range bufs {
		off += int64(copy(b, m.bytes[off:]))
	}
	return nil
}

// A writableStore can also be written and flushed.
type writableStore struct{ memStore }

func (m *writableStore) WriteAt(p []byte, off int64) (int, error) {
	if err := m.WriteVec([][]byte{p}, off, 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m *writableStore) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("write", off, total(bufs), f); err != nil {
		return err
	}
	for _, b := range bufs {
		off += int64(copy(m.bytes[off:], b))
	}
	return nil
}

func (m *writableStore) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begin("flush", 0, 0, 0)
}

// A thinStore can also deallocate space.
type thinStore struct{ writableStore }

func (m *thinStore) zero(call string, off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(call, off, n, 0); err != nil {
		return err
	}
	clear(m.bytes[off : off+n])
	return nil
}

func (m *thinStore) Trim(off, n int64) error { return m.zero("trim", off, n) }
func (m *thinStore) Zero(off, n int64) error { return m.zero("zero", off, n) }

// A minimalStore has only the methods that a writable store must have.
type minimalStore struct{ m *writableStore }

func (p minimalStore) Size() int64                                  { return p.m.Size() }
func (p minimalStore) Close() error                                 { return nil }
func (p minimalStore) ReadAt(b []byte, off int64) (int, error)      { return p.m.ReadAt(b, off) }
func (p minimalStore) WriteAt(b []byte, off int64) (n int, _ error) { return p.m.WriteAt(b, off) }

// A hugeStore has any size and takes no memory: it reads as zeros and discards
// writes.
type hugeStore struct {
	size  int64
	calls *[]string
}

func newHugeStore(size int64) hugeStore { return hugeStore{size, new([]string)} }

func (v hugeStore) record(call string, off, n int64) error {
	*v.calls = append(*v.calls, fmt.Sprintf("%s %d at %d", call, n, off))
	return nil
}

func (v hugeStore) Size() int64  { return v.size }
func (v hugeStore) Close() error { return nil }
func (v hugeStore) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	return len(p), v.record("read", off, int64(len(p)))
}
func (v hugeStore) WriteAt(p []byte, off int64) (int, error) {
	return len(p), v.record("write", off, int64(len(p)))
}
func (v hugeStore) Trim(off, n int64) error { return v.record("trim", off, n) }
func (v hugeStore) Flush() error            { return v.record("flush", 0, 0) }
func (v hugeStore) Zero(off, n int64) error { return v.record("zero", off, n) }

// randomBytes returns n random bytes, always the same ones.
func randomBytes(n int) []byte { return slices.Clone(randomMiB()[:n]) }

var randomMiB = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
})
