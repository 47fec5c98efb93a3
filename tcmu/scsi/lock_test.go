package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// An interleavedStore transfers one block at a time and lets other calls run in
// between.
type interleavedStore struct{ writableStore }

func (m *interleavedStore) eachBlock(bufs [][]byte, off int64, one func([][]byte, int64, backstores.Flag) error, f backstores.Flag) error {
	for _, b := range bufs {
		for len(b) > 0 {
			n := min(len(b), 512)
			if err := one([][]byte{b[:n]}, off, f); err != nil {
				return err
			}
			runtime.Gosched()
			b, off = b[n:], off+int64(n)
		}
	}
	return nil
}

func (m *interleavedStore) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	return m.eachBlock(bufs, off, m.writableStore.ReadVec, f)
}

func (m *interleavedStore) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	return m.eachBlock(bufs, off, m.writableStore.WriteVec, f)
}

func newInterleavedDisk() *Disk {
	m := &interleavedStore{writableStore{memStore{bytes: make([]byte, 64<<10)}}}
	return NewDisk(m, Options{BlockSize: 512})
}

// executeAsServe executes a command as tcmu.Serve does: without waiting, then
// with.
func executeAsServe(d *Disk, cdb, buf []byte) (status byte, sense []byte) {
	r, err := d.Execute(cdb, [][]byte{buf}, false)
	if err != nil {
		r, _ = d.Execute(cdb, [][]byte{buf}, true)
	}
	return r.Status, r.Sense
}

// Several goroutines increment a counter in one block with COMPARE AND WRITE,
// and write other blocks.
func TestCompareAndWriteIsAtomic(t *testing.T) {
	const goroutines, increments = 8, 50
	d := newInterleavedDisk()
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			buf := make([]byte, 1024)
			for range increments {
				for {
					if status, sense := executeAsServe(d, unhex("28 00 00000007 00 0001 00"), buf[:512]); status != 0 {
						t.Errorf("READ(10): sense data % x", sense)
						return
					}
					copy(buf[512:], buf[:512])
					binary.BigEndian.PutUint64(buf[1000:], binary.BigEndian.Uint64(buf[1000:])+1)
					status, sense := executeAsServe(d, unhex("89 00 0000000000000007 000000 01 00 00"), buf)
					if status == 0 {
						break
					}
					if sense[2] != miscompare {
						t.Errorf("COMPARE AND WRITE: sense data % x", sense)
						return
					}
				}
				executeAsServe(d, cdbWith("2a 00 %08x 00 0002 00", 8+i), stale(1024))
			}
		})
	}
	wg.Wait()
	buf := make([]byte, 512)
	executeAsServe(d, unhex("28 00 00000007 00 0001 00"), buf)
	if got := binary.BigEndian.Uint64(buf[488:]); got != goroutines*increments {
		t.Errorf("counted to %d, want %d", got, goroutines*increments)
	}
}

// Each goroutine sets bits of its own.
func TestOrWriteIsAtomic(t *testing.T) {
	d := newInterleavedDisk()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 64 {
				buf := make([]byte, 1024)
				buf[16*j] = 1 << i
				if status, sense := executeAsServe(d, unhex("8b 00 0000000000000003 00000002 00 00"), buf); status != 0 {
					t.Errorf("ORWRITE(16): sense data % x", sense)
				}
			}
		})
	}
	wg.Wait()
	buf := make([]byte, 1024)
	executeAsServe(d, unhex("28 00 00000003 00 0002 00"), buf)
	for i, b := range buf {
		if want := map[bool]byte{true: 0xff}[i%16 == 0]; b != want {
			t.Fatalf("byte %d is %02x, want %02x", i, b, want)
		}
	}
}

// The block holds the data of the last WRITE, or that of a COMPARE AND WRITE
// that compared it with the data of the last WRITE.
func TestCompareAndWriteNeverUndoesAWrite(t *testing.T) {
	d := newInterleavedDisk()
	made := func(n, by byte) []byte {
		b := make([]byte, 512)
		b[0], b[511] = n, by
		return b
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			buf := make([]byte, 512)
			for {
				select {
				case <-stop:
					return
				default:
				}
				executeAsServe(d, unhex("28 00 00000000 00 0001 00"), buf)
				executeAsServe(d, unhex("89 00 0000000000000000 000000 01 00 00"), append(made(buf[0], 0), made(buf[0], 1)...))
			}
		})
	}
	buf := make([]byte, 512)
	for i := range 250 {
		executeAsServe(d, unhex("2a 00 00000000 00 0001 00"), made(byte(i), 0))
		for range 4 {
			executeAsServe(d, unhex("28 00 00000000 00 0001 00"), buf)
			if buf[0] != byte(i) {
				t.Errorf("wrote %d, read %d", byte(i), buf[0])
			}
			runtime.Gosched()
		}
	}
	close(stop)
	wg.Wait()
}

func TestReadsNeverSeePartOfAnExclusiveCommand(t *testing.T) {
	for _, x := range []struct {
		name string
		cdb  string
		out  func(old, new byte) []byte
	}{
		{"COMPARE AND WRITE", "89 00 0000000000000000 000000 08 00 00", func(old, new byte) []byte {
			return append(bytes.Repeat([]byte{old}, 4096), bytes.Repeat([]byte{new}, 4096)...)
		}},
		{"WRITE AND VERIFY(16)", "8e 02 0000000000000000 00000008 00 00", func(_, new byte) []byte {
			return bytes.Repeat([]byte{new}, 4096)
		}},
		{"ORWRITE(16)", "8b 00 0000000000000000 00000008 00 00", func(_, new byte) []byte {
			return bytes.Repeat([]byte{new}, 4096)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := newInterleavedDisk()
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					buf := make([]byte, 4096)
					for {
						select {
						case <-stop:
							return
						default:
						}
						executeAsServe(d, unhex("88 00 0000000000000000 00000008 00 00"), buf)
						if !bytes.Equal(buf, bytes.Repeat(buf[:1], 4096)) {
							t.Errorf("a mixture of %02x and %02x", buf[0], buf[4095])
							return
						}
					}
				})
			}
			for old, i := byte(0), 0; i < 200; i++ {
				next := byte(i + 1)
				if x.cdb[:2] == "8b" {
					next = 1<<(i*8/200+1) - 1
				}
				if status, sense := executeAsServe(d, unhex(x.cdb), x.out(old, next)); status != 0 {
					t.Fatalf("sense data % x", sense)
				}
				old = next
			}
			close(stop)
			wg.Wait()
		})
	}
}

// A gatedStore blocks reads that may wait until open is closed.
type gatedStore struct {
	*thinStore
	reached, open chan struct{}
}

func (g *gatedStore) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	if f&backstores.NoWait == 0 {
		g.reached <- struct{}{}
		<-g.open
	}
	return g.thinStore.ReadVec(bufs, off, f)
}

// All others are completed.
func TestCommandsThatOverlapAnExclusiveOneWouldBlock(t *testing.T) {
	for _, alone := range []struct{ name, cdb string }{
		{"COMPARE AND WRITE", "89 00 0000000000000005 000000 01 00 00"},
		{"ORWRITE(16)", "8b 00 0000000000000005 00000002 00 00"},
		{"WRITE AND VERIFY(10)", "2e 00 00000005 00 0002 00"},
	} {
		t.Run(alone.name, func(t *testing.T) {
			s := &thinStore{writableStore{memStore{bytes: randomBytes(1 << 20)}}}
			g := &gatedStore{s, make(chan struct{}), make(chan struct{})}
			d := NewDisk(g, Options{BlockSize: 512})
			out := slices.Concat(s.bytes[5*512:6*512], s.bytes[5*512:6*512])
			done := make(chan byte)
			go func() {
				r, _ := d.Execute(unhex(alone.cdb), [][]byte{out}, true)
				done <- r.Status
			}()
			select {
			case <-g.reached:
			case status := <-done:
				t.Fatalf("status %02x without a read", status)
			}
			calls := len(s.calls)
			for _, cdb := range []string{"28 00 00000005 00 0001 00", "88 00 0000000000000004 00000002 00 00",
				"2a 00 00000005 00 0001 00", "28 00 00000000 00 0800 00"} {
				for range 2 {
					if r, err := d.Execute(unhex(cdb), [][]byte{stale(512)}, false); err == nil {
						t.Errorf("%s: completed: %+v", cdb, r)
					}
				}
			}
			if len(s.calls) != calls {
				t.Errorf("store calls %q meanwhile", s.calls[calls:])
			}
			for _, cdb := range []string{"28 00 00000004 00 0001 00", "2a 00 00000007 00 0001 00", "00 00 00 00 00 00", "25 00 00000000 00 00 00 00", "12 00 00 00ff 00", "03 00 00 00 12 00", "1a 00 3f 00 ff 00", "a3 0c 00 00 0000 00000100 00 00"} {
				if r, err := d.Execute(unhex(cdb), [][]byte{stale(512)}, false); err != nil || r.Status != good {
					t.Errorf("%s: %+v, %v", cdb, r, err)
				}
			}
			close(g.open)
			if status := <-done; status != 0 {
				t.Errorf("status %02x", status)
			}
			if r, err := d.Execute(unhex("28 00 00000005 00 0001 00"), [][]byte{stale(512)}, false); err != nil || r.Status != good {
				t.Errorf("READ(10) afterwards: %+v, %v", r, err)
			}
		})
	}
}

func TestReadsRunConcurrently(t *testing.T) {
	s := &thinStore{writableStore{memStore{bytes: randomBytes(1 << 20)}}}
	g := &gatedStore{s, make(chan struct{}), make(chan struct{})}
	d := NewDisk(g, Options{BlockSize: 512})
	done := make(chan struct{})
	go func() {
		d.Execute(unhex("28 00 00000005 00 0001 00"), [][]byte{stale(512)}, true)
		close(done)
	}()
	<-g.reached
	for _, cdb := range []string{"28 00 00000005 00 0001 00", "2a 00 00000005 00 0001 00"} {
		if r, err := d.Execute(unhex(cdb), [][]byte{stale(512)}, false); err != nil || r.Status != good {
			t.Errorf("%s: %+v, %v", cdb, r, err)
		}
	}
	close(g.open)
	<-done
}

func TestExclusiveCommandsUnlockTheDisk(t *testing.T) {
	for _, tt := range []struct{ cdb, fails, prefix string }{
		{"89 00 0000000000000005 000000 01 00 00", "", "e/1d/00"},
		{"89 00 0000000000000005 000000 01 00 00", "read", "3/11/00"},
		{"89 00 0000000000000800 000000 01 00 00", "", "5/21/00"},
		{"8b 00 0000000000000005 00000002 00 00", "write", "3/0c/00"},
		{"2e 02 00000005 00 0002 00", "read", "3/11/00"},
		{"2e 02 00000005 00 0004 00", "", "5/0e/03"},
	} {
		u := newUnit("thin", 512)
		if tt.fails != "" {
			u.fails[tt.fails] = fmt.Errorf("bad sector")
		}
		if _, why := execute(t, u.Disk, unhex(tt.cdb), stale(1024)); !strings.HasPrefix(why, tt.prefix) {
			t.Errorf("%s: sense data %q, want %s", tt.cdb, why, tt.prefix)
		}
		if n := len(u.tasks.tasks); n > 0 || u.tasks.exclusive.Load() != 0 {
			t.Errorf("%s is still one of %d tasks", tt.cdb, n)
		}
	}
}
