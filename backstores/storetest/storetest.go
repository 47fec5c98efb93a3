// Package storetest is one suite of tests for all backstores. It checks a store
// against the contract in package backstores, whatever its format, and has helpers
// for tests that need files, devices and tools.
//
// Tests import it, and nothing else. It imports package backstores alone.
package storetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// Run tests the stores that open returns. Each call must open a new store of at
// least 1 MiB, all with the same contents unless they can be written. Abilities
// that the store lacks are logged and not tested.
func Run(t *testing.T, open func(testing.TB) backstores.Backstore) {
	const reading, writing = false, true
	var readOnly *model // of a store before, if none can be written
	for _, tt := range []struct {
		name   string
		writes bool
		test   func(*testing.T, *model)
	}{
		{"Abilities", reading, abilities},
		{"ReadToTheEnd", reading, readToTheEnd},
		{"ReadPastTheEnd", reading, readPastTheEnd},
		{"ReadConcurrently", reading, readConcurrently},
		{"ReadVectors", reading, readVectors},
		{"ReadNoWait", reading, readNoWait},
		{"ExtentsCoverTheStore", reading, extentsCoverTheStore},

		{"ReadWhatWasWritten", writing, readWhatWasWritten},
		{"WriteVectors", writing, writeVectors},
		{"WritePastTheEnd", writing, writePastTheEnd},
		{"WriteNoWait", writing, writeNoWait},
		{"WriteConcurrently", writing, writeConcurrently},
		{"WriteDurable", writing, writeDurable},
		{"Flush", writing, flush},
		{"TrimReadsZeros", writing, trimReadsZeros},
		{"ZeroReadsZeros", writing, zeroReadsZeros},
		{"ExtentsAfterTrim", writing, extentsAfterTrim},
		{"CloseOnce", reading, closeOnce},
	} {
		if tt.writes && readOnly != nil {
			t.Logf("not tested: %s, of a store that cannot be written", tt.name)
			continue // it may take seconds to open
		}
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			if tt.name != "CloseOnce" {
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			if s.Size() < 1<<20 {
				t.Fatalf("Size() = %d; the suite needs 1 MiB", s.Size())
			}
			if readOnly != nil {
				tt.test(t, &model{t, s, readOnly.want})
				return
			}
			m := newModel(t, s)
			if _, writable := s.(io.WriterAt); !writable {
				readOnly = m
			}
			tt.test(t, m)
		})
	}
}

// abilities logs the abilities that are not tested. It checks that a store that
// cannot be written has no ability that changes it.
func abilities(t *testing.T, m *model) {
	_, writer := m.store.(io.WriterAt)
	_, vecReader := m.store.(backstores.VectorReader)
	_, vecWriter := m.store.(backstores.VectorWriter)
	_, flusher := m.store.(backstores.Flusher)
	_, trimmer := m.store.(backstores.Trimmer)
	_, zeroer := m.store.(backstores.Zeroer)
	_, extenter := m.store.(backstores.Extenter)
	for _, a := range []struct {
		name     string
		has      bool
		changing bool
	}{
		{"io.WriterAt", writer, true},
		{"VectorReader", vecReader, false},
		{"VectorWriter", vecWriter, true},
		{"Flusher", flusher, true},
		{"Trimmer", trimmer, true},
		{"Zeroer", zeroer, true},
		{"Extenter", extenter, false},
	} {
		if !a.has {
			t.Logf("%T is not a %s", m.store, a.name)
		}
		if a.has && a.changing && !writer {
			t.Errorf("%T is a %s but not an io.WriterAt", m.store, a.name)
		}
	}
	if writer {
		return
	}
	p := make([]byte, 512)
	for name, err := range map[string]error{
		"WriteVec": backstores.WriteVec(m.store, [][]byte{p}, 0, 0),
		"Trim":     backstores.Trim(m.store, 0, 512),
		"Zero":     backstores.Zero(m.store, 0, 512),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s on a store that cannot be written: %v, want ErrUnsupported", name, err)
		}
	}
	if err := backstores.Flush(m.store); err != nil {
		t.Errorf("Flush on a store that cannot be written: %v", err)
	}
	m.check(0, m.size())
}

func readToTheEnd(t *testing.T, m *model) {
	got, err := io.ReadAll(io.NewSectionReader(m.store, 0, m.size()+1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, m.want) {
		t.Errorf("read %d bytes, want %d, or they differ", len(got), len(m.want))
	}
}

func readPastTheEnd(t *testing.T, m *model) {
	end := m.size()
	p := make([]byte, 1024)
	if n, err := m.store.ReadAt(p, end-100); n != 100 || err != io.EOF {
		t.Errorf("ReadAt over the end = %d, %v; want 100, EOF", n, err)
	}
	if n, err := m.store.ReadAt(p, end); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end = %d, %v; want 0, EOF", n, err)
	}
	if n, err := m.store.ReadAt(p, end+1<<40); n != 0 || err != io.EOF {
		t.Errorf("ReadAt far past the end = %d, %v; want 0, EOF", n, err)
	}
	if n, err := m.store.ReadAt(p, -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("ReadAt(-1) = %d, %v; want an error", n, err)
	}
	for _, off := range outside(end) {
		for _, f := range []backstores.Flag{0, backstores.NoWait} {
			err := backstores.ReadVec(m.store, [][]byte{p[:512], p[512:]}, off, f)
			if err == nil || f == 0 && err == backstores.ErrWouldBlock {
				t.Errorf("ReadVec of 1024 bytes at %d, flags %b: %v", off, f, err)
			}
		}
		if _, _, err := backstores.Extent(m.store, off); err == nil && off != end-1023 {
			t.Errorf("Extent(%d) of %d bytes succeeded", off, end)
		}
	}
}

// outside returns offsets at which 1024 bytes reach past the end.
func outside(size int64) []int64 {
	return []int64{size - 1023, size, size + 1, 1<<63 - 1, 1<<63 - 1024, -1, -512, -1 << 63}
}

func readConcurrently(t *testing.T, m *model) {
	var wg sync.WaitGroup
	for i := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(i, 1))
			for range 100 {
				off, n := m.somewhere(r, 64<<10)
				m.checkRange(off, n)
			}
		})
	}
	wg.Wait()
}

func readVectors(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, k := range vectorLengths {
		bufs := uneven(r, k)
		n := backstores.Length(bufs)
		for _, off := range []int64{0, 1, 511, 4096, m.size() - n} {
			if err := backstores.ReadVec(m.store, bufs, off, 0); err != nil {
				t.Fatalf("ReadVec of %d buffers at %d: %v", k, off, err)
			}
			if !bytes.Equal(bytes.Join(bufs, nil), m.want[off:off+n]) {
				t.Errorf("ReadVec of %d buffers at %d read something else", k, off)
			}
		}
		if backstores.Length(bufs) != n {
			t.Errorf("ReadVec of %d buffers changed the vector", k)
		}
	}
}

func readNoWait(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(3, 3))
	blocked := 0
	for range 200 {
		bufs := uneven(r, 1+r.IntN(20))
		n := backstores.Length(bufs)
		off := r.Int64N(m.size() - n)
		err := backstores.ReadVec(m.store, bufs, off, backstores.NoWait)
		if err == backstores.ErrWouldBlock {
			blocked++
			err = backstores.ReadVec(m.store, bufs, off, 0)
		}
		if err != nil {
			t.Fatalf("ReadVec at %d: %v", off, err)
		}
		if !bytes.Equal(bytes.Join(bufs, nil), m.want[off:off+n]) {
			t.Fatalf("ReadVec at %d read something else", off)
		}
	}
	t.Logf("%d of 200 would have blocked", blocked)
}

func extentsCoverTheStore(t *testing.T, m *model) {
	m.checkExtents()
}

func closeOnce(t *testing.T, m *model) {
	if err := m.store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
