package overlay

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A disk is a file on a disk that loses power. Afterwards each sector has any of
// its states since the last sync.
type disk struct {
	sectors map[int64][][]byte // states since the last sync, the synced one first
	size    int64
	syncs   int
}

const sector = 512

var nothing = make([]byte, sector)

func newDisk(size int64) *disk { return &disk{sectors: map[int64][][]byte{}, size: size} }

func (d *disk) state(at int64) []byte {
	if s := d.sectors[at]; len(s) > 0 {
		return s[len(s)-1]
	}
	return nothing
}

// change sets n bytes at off to p, or to zeros if that is nil.
func (d *disk) change(p []byte, off, n int64) {
	for n > 0 {
		at, in := off/sector, off%sector
		k := min(n, sector-in)
		if p == nil && len(d.sectors[at]) == 0 {
			off, n = off+k, n-k
			continue
		}
		now := bytes.Clone(d.state(at))
		if p == nil {
			clear(now[in : in+k])
		} else {
			copy(now[in:], p[:k])
			p = p[k:]
		}
		if len(d.sectors[at]) == 0 {
			d.sectors[at] = [][]byte{nothing}
		}
		d.sectors[at] = append(d.sectors[at], now)
		off, n = off+k, n-k
	}
}

// now returns a copy of the disk.
func (d *disk) now() *disk {
	c := newDisk(d.size)
	for at, states := range d.sectors {
		c.sectors[at] = states[:len(states):len(states)]
	}
	return c
}

// cut returns the disk after a power cut.
func (d *disk) cut(r *rand.Rand) *disk {
	after := newDisk(d.size)
	for at, states := range d.sectors {
		after.sectors[at] = [][]byte{states[r.IntN(len(states))]}
	}
	return after
}

func (d *disk) Size() int64  { return d.size }
func (d *disk) Close() error { return nil }
func (d *disk) Flush() error {
	for at, states := range d.sectors {
		d.sectors[at] = states[len(states)-1:]
	}
	d.syncs++
	return nil
}
func (d *disk) ReadAt(p []byte, off int64) (int, error) { panic("vectors only") }
func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.change(p, off, int64(len(p)))
	return len(p), nil
}
func (d *disk) ReadVec(bufs [][]byte, off int64, _ backstores.Flag) error {
	for _, p := range bufs {
		for len(p) > 0 {
			if off >= d.size {
				return io.ErrUnexpectedEOF
			}
			n := copy(p, d.state(off / sector)[off%sector:])
			p, off = p[n:], off+int64(n)
		}
	}
	return nil
}
func (d *disk) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	for _, p := range bufs {
		d.change(p, off, int64(len(p)))
		if f&backstores.Durable != 0 {
			for at := off / sector; at <= (off+int64(len(p))-1)/sector; at++ {
				d.sectors[at] = d.sectors[at][len(d.sectors[at])-1:]
			}
		}
		off += int64(len(p))
	}
	return nil
}
func (d *disk) Trim(off, n int64) error               { d.change(nil, off, n); return nil }
func (d *disk) Zero(off, n int64) error               { return d.Trim(off, n) }
func (d *disk) Extent(off int64) (int64, bool, error) { return d.size - off, true, nil }

// A pattern is a base in which each sector is filled with its number.
type pattern int64

func (b pattern) Size() int64  { return int64(b) }
func (b pattern) Close() error { return nil }
func (b pattern) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); {
		number := (off + int64(i)) / sector
		n := min(int64(len(p)-i), (number+1)*sector-off-int64(i))
		for k := range p[i:][:n] {
			p[i+k] = byte(number) | 0x80
		}
		i += int(n)
	}
	return len(p), nil
}

func newOverlay(d *disk, size int64, boot byte) (*Overlay, error) {
	h, err := readHeader(d)
	if err != nil {
		return nil, err
	}
	o := &Overlay{header: h, path: "overlay", session: Session{boot}}
	if err := o.load(d); err != nil {
		return nil, err
	}
	o.base = pattern(size)
	return o, o.begin()
}

// After a power cut a sector holds what it held at the last flush or anything
// written to it since, and nothing else. If only the process was killed it holds
// the last acknowledged write.
func TestOverlayAfterPowerCutsAndKills(t *testing.T) {
	for seed := range uint64(40) {
		if !cutAndKill(t, rand.New(rand.NewPCG(seed, 30))) {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func cutAndKill(t *testing.T, r *rand.Rand) bool {
	// The disk has more than one region. The writes are around their border.
	const size = regionBytes + 40<<20
	const from, sectors = regionBytes - 1<<19, 2048
	h := &header{layout: layOut(size), base: "base.img", format: "raw"}
	h.record.id.size = size
	d := newDisk(h.fileBytes())
	if err := h.writeTo(d); err != nil {
		t.Fatal(err)
	}
	d.Flush()

	may := make([][][]byte, sectors) // the allowed contents of each sector
	for i := range may {
		p := make([]byte, sector)
		pattern(size).ReadAt(p, from+int64(i)*sector)
		may[i] = [][]byte{p}
	}
	boot, killed := byte(1), false
	for run := range 5 {
		o, err := newOverlay(d, size, boot)
		if err != nil {
			t.Errorf("run %d: %v", run, err)
			return false
		}
		p := make([]byte, sectors*sector)
		if err := o.ReadVec([][]byte{p}, from, 0); err != nil {
			t.Fatal(err)
		}
		for i := range may {
			got := p[i*sector:][:sector]
			allowed := may[i]
			if killed {
				allowed = allowed[len(allowed)-1:]
			}
			if !slices.ContainsFunc(allowed, func(m []byte) bool { return bytes.Equal(m, got) }) {
				t.Errorf("run %d (killed before: %v): sector %d holds %x…, which is none of %d allowed states",
					run, killed, i, got[:4], len(may[i]))
				return false
			}
			if !killed { // unflushed writes may still be lost
				may[i] = [][]byte{bytes.Clone(got)}
			}
		}
		for step := range 1 + r.IntN(40) {
			first := r.IntN(sectors - 20)
			n := 1 + r.IntN(20)
			var p []byte
			flag := backstores.Flag(0)
			switch r.IntN(8) {
			case 0:
				if err := o.Flush(); err != nil {
					t.Fatal(err)
				}
				for i := range may {
					may[i] = may[i][len(may[i])-1:]
				}
				continue
			case 1:
				p = make([]byte, n*sector)
				err = o.Trim(from+int64(first)*sector, int64(len(p)))
			case 2:
				flag = backstores.Durable
				fallthrough
			default:
				p = bytes.Repeat(fmt.Appendf(nil, "%02d%02d", run, step%100), n*sector/4)
				for i := range n {
					p[i*sector]++
				}
				err = o.WriteVec([][]byte{p}, from+int64(first)*sector, flag)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if flag == backstores.Durable {
					may[first+i] = nil
				}
				may[first+i] = append(may[first+i], p[i*sector:][:sector])
			}
		}
		if killed = r.IntN(2) == 0; !killed {
			d = d.cut(r)
			boot++
		}
	}
	return true
}
