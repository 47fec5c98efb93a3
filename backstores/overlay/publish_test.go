package overlay

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A shared disk is safe for concurrent use.
type shared struct {
	mu      sync.Mutex
	disk    *disk
	marking func() // called before marks are written
	marks   int64  // offset of the marks
}

func (s *shared) do(f func(d *disk) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.disk)
}

// now returns a copy of the disk.
func (s *shared) now() (d *disk) {
	s.do(func(of *disk) error { d = of.now(); return nil })
	return d
}

func (s *shared) Size() int64                             { return s.disk.size }
func (s *shared) Close() error                            { return nil }
func (s *shared) Flush() error                            { return s.do((*disk).Flush) }
func (s *shared) ReadAt(p []byte, off int64) (int, error) { panic("vectors only") }
func (s *shared) WriteAt(p []byte, off int64) (int, error) {
	return len(p), s.WriteVec([][]byte{p}, off, 0)
}
func (s *shared) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	return s.do(func(d *disk) error { return d.ReadVec(bufs, off, f) })
}
func (s *shared) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
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

func newShared(t *testing.T, size int64) (*shared, *Overlay) {
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
	o.file, o.mapper.file = s, s
	return s, o
}

// wantSector opens the overlay on a disk, after so many boots, and checks a sector.
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

// Two first writes to one block run side by side. Once one of them is
// acknowledged it survives a kill, however far the other has come.
func TestKillBetweenWritesToANewBlock(t *testing.T) {
	s, o := newShared(t, 1<<20)
	other := bytes.Repeat([]byte{2}, sector)
	asked := 0
	s.marking = func() {
		if asked++; asked > 1 {
			return // for the other write
		}
		switch err := o.WriteVec([][]byte{other}, 4*sector, backstores.NoWait); err {
		case nil:
			wantSector(t, s.now(), 1, 4*sector, other)
		case backstores.ErrWouldBlock: // it has to wait for the first
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

// A durable write to a block that has just become present survives a power cut,
// as does a write followed by Flush. A change of many blocks makes them present
// one after another, which takes long.
func TestPowerCutAfterWriteToANewBlock(t *testing.T) {
	for name, write := range map[string]func(o *Overlay, p []byte) error{
		"Durable": func(o *Overlay, p []byte) error { return o.WriteVec([][]byte{p}, 0, backstores.Durable) },
		"Flush": func(o *Overlay, p []byte) error {
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
				for o.present[0].Load() == nil || !o.has(0) {
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

// An indebted file has found a failure that its next flush returns.
type indebted struct {
	*shared
	debt error
}

func (i *indebted) Owes() error { return i.debt }

// The map needs no flush to fail: a durable write to the file may have found a failure
// that the next flush returns.
func TestOverlayOwesWhatItsFileOwes(t *testing.T) {
	s, o := newShared(t, 1<<20)
	file := &indebted{shared: s}
	o.file = file
	if err := o.Owes(); err != nil {
		t.Errorf("at first it owes %v", err)
	}
	file.debt = unix.EIO
	if err := o.Owes(); err != unix.EIO {
		t.Errorf("it owes %v, want EIO", err)
	}
	file.debt = nil
	o.mapper.fail(unix.ENOSPC)
	if err := o.Owes(); err != unix.ENOSPC {
		t.Errorf("it owes %v, want ENOSPC", err)
	}
}
