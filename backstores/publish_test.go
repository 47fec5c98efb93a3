package backstores

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

// A shared disk is one that several use at a time.
type shared struct {
	mu      sync.Mutex
	disk    *disk
	marking func() // is called before marks are written
	marks   int64  // where they are
}

func (s *shared) do(f func(d *disk) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.disk)
}

// now is a disk that holds what this one does now.
func (s *shared) now() *disk {
	d := newDisk(s.disk.size)
	s.do(func(of *disk) error {
		for at, states := range of.sectors {
			d.sectors[at] = states[:len(states):len(states)]
		}
		return nil
	})
	return d
}

func (s *shared) Size() int64                             { return s.disk.size }
func (s *shared) Close() error                            { return nil }
func (s *shared) Flush() error                            { return s.do((*disk).Flush) }
func (s *shared) ReadAt(p []byte, off int64) (int, error) { panic("vectors only") }
func (s *shared) WriteAt(p []byte, off int64) (int, error) {
	return len(p), s.WriteVec([][]byte{p}, off, 0)
}
func (s *shared) ReadVec(bufs [][]byte, off int64, f Flag) error {
	return s.do(func(d *disk) error { return d.ReadVec(bufs, off, f) })
}
func (s *shared) WriteVec(bufs [][]byte, off int64, f Flag) error {
	if s.marking != nil && off >= s.marks {
		s.marking()
	}
	return s.do(func(d *disk) error { return d.WriteVec(bufs, off, f) })
}
func (s *shared) Trim(off, n int64) error {
	return s.do(func(d *disk) error { return d.Trim(off, n) })
}
func (s *shared) Zero(off, n int64) error               { return s.Trim(off, n) }
func (s *shared) Extent(off int64) (int64, bool, error) { return s.disk.Extent(off) }

func newShared(t *testing.T, size int64) (*shared, *overlay) {
	t.Helper()
	h := testHeader(size)
	d := newDisk(h.fileBytes())
	if err := h.writeTo(d); err != nil {
		t.Fatal(err)
	}
	o, err := newOverlay(d, size, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &shared{disk: d, marks: o.header.marks}
	o.file, o.keeps.file = s, s
	return s, o
}

// wantSector opens the overlay that is on a disk, in a boot, and looks for what
// was acknowledged.
func wantSector(t *testing.T, d *disk, boot byte, off int64, want []byte) {
	t.Helper()
	o, err := newOverlay(d, d.size, boot)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, sector)
	if err := o.ReadVec([][]byte{got}, off, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("sector at %d holds %x…, want %x…", off, got[:4], want[:4])
	}
}

// Two write to one block at first. What the one is told is written is found
// after a kill, however far the other has come.
func TestKillBetweenWritesToANewBlock(t *testing.T) {
	s, o := newShared(t, 1<<20)
	other := bytes.Repeat([]byte{2}, sector)
	asked := 0
	s.marking = func() {
		if asked++; asked > 1 {
			return // by other
		}
		switch err := o.WriteVec([][]byte{other}, 4*sector, NoWait); err {
		case nil:
			wantSector(t, s.now(), 1, 4*sector, other)
		case ErrWouldBlock: // it waits for the first
		default:
			t.Error(err)
		}
	}
	if err := o.WriteVec([][]byte{bytes.Repeat([]byte{1}, sector)}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if asked == 0 {
		t.Error("no marks were written")
	}
}

// Who finds a block present as soon as it is, and writes to it, may rely on
// Durable as on Flush. A change of many blocks makes that moment long.
func TestPowerCutAfterWriteToABlockJustMade(t *testing.T) {
	for name, write := range map[string]func(o *overlay, p []byte) error{
		"Durable": func(o *overlay, p []byte) error { return o.WriteVec([][]byte{p}, 0, Durable) },
		"Flush": func(o *overlay, p []byte) error {
			if err := o.WriteVec([][]byte{p}, 0, 0); err != nil {
				return err
			}
			return o.Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				s, o := newShared(t, regionBytes)
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := o.Zero(0, regionBytes); err != nil {
						t.Error(err)
					}
				})
				for o.changed[0].Load() == nil || !o.has(0) {
				}
				p := bytes.Repeat([]byte{3}, sector)
				if err := write(o, p); err != nil {
					t.Fatal(err)
				}
				cut := s.now().cut(rand.New(rand.NewPCG(seed, 31)))
				wg.Wait()
				wantSector(t, cut, 2, 0, p)
			}
		})
	}
}
