package scsi

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lunserve/lunserve/backstores"
)

// A syncingStore calls during whenever it syncs.
type syncingStore struct {
	*thinStore
	during func()
}

func (s syncingStore) Flush() error {
	s.during()
	return s.thinStore.Flush()
}

func (s syncingStore) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	if f&backstores.Durable != 0 {
		if f&backstores.NoWait != 0 {
			return backstores.ErrWouldBlock
		}
		s.during()
	}
	return s.thinStore.WriteVec(bufs, off, f)
}

func newSyncingDisk(during func()) *Disk {
	s := &thinStore{writableStore{memStore{bytes: randomBytes(1 << 20)}}}
	return NewDisk(syncingStore{s, during}, Options{BlockSize: 512, Removable: true})
}

// atBlock returns a CDB of the row for one block, with FUA, and data-out that it
// accepts. have is what the block holds.
func (r *row) atBlock(lba byte, have []byte) (cdb, out []byte) {
	cdb, out = r.emptyCDB(), slices.Clone(have)
	switch {
	case r.op == 0x42:
		out = unmapList(int(lba), 1)
		return unmapCDB(len(out)), out
	case r.op == 0x48 && r.sa == 0x01: // OVERWRITE
		return unhex("48 01 0000000000 0008 00"), unhex("01 00 0004 aabbccdd")
	case r.op == 0x48:
		return cdb, nil
	case r.op == 0x55 || r.op == 0x15: // without a list
		cdb[1] = 0x10
		return cdb, nil
	case r.op == 0x1a || r.op == 0x5a || r.op == 0x4d:
		cdb[2] = map[byte]byte{0x1a: 0x3f, 0x5a: 0x3f, 0x4d: 0x40}[r.op]
		return cdb, make([]byte, 1024)
	case !r.namesBlocks():
		return cdb, make([]byte, 1024)
	case r.op == 0x89:
		cdb[13], out = 1, append(out, out...)
	case len(cdb) == 16:
		cdb[13] = 1
	case len(cdb) == 12:
		cdb[9] = 1
	case len(cdb) == 10:
		cdb[8] = 1
	case len(cdb) == 6:
		cdb[4] = 1
	}
	switch len(cdb) {
	case 6:
		cdb[3] = lba
	case 16:
		cdb[9] = lba
	default:
		cdb[5] = lba
	}
	if len(cdb) > 6 && r.op&0x1f != 0x13 && r.op != 0x41 {
		cdb[1] |= r.usage[1] & fua
	}
	return cdb, out
}

// namesBlocks reports whether the CDB names a range of blocks by LBA and number.
func (r *row) namesBlocks() bool {
	return r.attrs&locks != 0 || r.op == 0x41 || r.op == 0x93 || r.op == 0x35 || r.op == 0x91
}

// While the store syncs for any command of the table, commands for other blocks
// complete: those that may not wait, and exclusive ones.
func TestNoCommandHoldsUpOthersDuringASync(t *testing.T) {
	var d *Disk
	var syncs int
	var name string
	var inside atomic.Bool
	d = newSyncingDisk(func() {
		if !inside.CompareAndSwap(false, true) {
			return // of a command below
		}
		defer inside.Store(false)
		syncs++
		for _, cdb := range []string{"28 00 00000064 00 0001 00", "00 00 00 00 00 00"} {
			if _, err := d.Execute(unhex(cdb), [][]byte{stale(512)}, false); err != nil {
				t.Errorf("during a sync for %s: %s: %v", name, cdb, err)
				return // the next would wait for ever
			}
		}
		// As another worker would. Before it starts, it is one that waits.
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Execute(unhex("8b 00 0000000000000064 00000001 00 00"), [][]byte{make([]byte, 512)}, true)
		}()
		<-done
	})
	synced := 0
	for _, writeThrough := range []bool{false, true} {
		d.mode.writeThrough.Store(writeThrough)
		for _, row := range d.rows {
			name = fmt.Sprint(row.name, ", write through ", writeThrough)
			syncs = 0
			cdb, out := row.atBlock(5, d.store.(syncingStore).bytes[5*512:6*512])
			r, err := d.Execute(cdb, [][]byte{out}, true)
			if err != nil || r.Status != good {
				t.Errorf("%s, %x: %+v, %v", name, cdb, r, err)
			}
			if must := row.attrs&changes != 0 && (writeThrough || cdb[1]&fua != 0 && len(cdb) > 6 || row.op == 0x48); must && syncs == 0 {
				t.Errorf("%s, %x: no sync", name, cdb)
			}
			synced += syncs
			execute(t, d, unhex(start))
		}
	}
	if synced < 20 {
		t.Errorf("only %d syncs", synced)
	}
}

// The syncs of these commands do not return. Reads and writes of other blocks do.
func TestReadsGoOnBesideSyncs(t *testing.T) {
	for _, cdb := range []string{
		"89 08 %016x 000000 01 00 00", // COMPARE AND WRITE FUA
		"8b 08 %016x 00000001 00 00",  // ORWRITE FUA
		"8e 00 %016x 00000001 00 00",  // WRITE AND VERIFY
		"8a 08 %016x 00000001 00 00",  // WRITE FUA
		"91 00 %016x 00000001 00 00",  // SYNCHRONIZE CACHE
		"88 08 %016x 00000001 00 00",  // READ FUA
		"93 00 %016x 00000001 00 00",  // WRITE SAME, with the cache disabled
	} {
		t.Run(cdb[:5], func(t *testing.T) {
			heal, syncing := make(chan struct{}), make(chan struct{}, 100)
			d := newSyncingDisk(func() {
				syncing <- struct{}{}
				<-heal
			})
			medium := slices.Clone(d.store.(syncingStore).bytes)
			if cdb[:2] == "93" {
				d.mode.writeThrough.Store(true)
			}
			var wg sync.WaitGroup
			for lba := range 8 {
				wg.Go(func() {
					block := medium[lba*512:][:512]
					out := slices.Clone(block)
					if cdb[:2] == "89" {
						out = append(out, block...)
					}
					if r, _ := d.Execute(cdbWith(cdb, lba), [][]byte{out}, true); r.Status != good {
						t.Errorf("%+v", r)
					}
				})
				<-syncing
			}
			defer wg.Wait()
			defer close(heal)
			for lba := 8; lba < 2048; lba += 7 {
				buf := stale(512)
				if _, err := d.Execute(cdbWith("28 00 %08x 00 0001 00", lba), [][]byte{buf}, false); err != nil {
					t.Fatalf("READ(10) of block %d: %v", lba, err) // it would wait for ever
				}
				if !bytes.Equal(buf, medium[lba*512:][:512]) {
					t.Fatalf("READ(10) of block %d: wrong data", lba)
				}
				executeAsServe(d, cdbWith("28 00 %08x 00 0001 00", lba), buf)
				d.mode.writeThrough.Store(false)
				executeAsServe(d, cdbWith("2a 00 %08x 00 0001 00", lba), buf)
				executeAsServe(d, cdbWith("89 00 %016x 000000 01 00 00", lba), append(buf, buf...))
			}
		})
	}
}

// A slowStore takes a second to unmap a slice.
type slowStore struct{ hugeStore }

func (s slowStore) Trim(off, n int64) error {
	time.Sleep(time.Second)
	return s.hugeStore.Trim(off, n)
}

// UNMAP leaves the rest mapped, and WRITE SAME zeroes it. Linux aborts either
// after 30 seconds.
func TestUnmappingTakesLimitedTime(t *testing.T) {
	for name, tt := range map[string]struct {
		cdb, list []byte
		kinds     int // of calls of the store
		covers    int64
	}{
		"UNMAP":            {unmapCDB(24), unmapList(0, 1<<20), 1, 0},
		"WRITE SAME UNMAP": {unhex("93 09 0000000000000000 00200000 00 00"), nil, 2, 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newHugeStore(1 << 40)
				d := NewDisk(slowStore{s}, Options{BlockSize: 512})
				start := time.Now()
				if _, why := execute(t, d, tt.cdb, tt.list); why != "" {
					t.Error(why)
				}
				if took := time.Since(start); took < 5*time.Second || took > 15*time.Second {
					t.Errorf("took %v", took)
				}
				calls := merged(*s.calls)
				if len(calls) != tt.kinds {
					t.Fatalf("store calls %q", calls)
				}
				var n, sum int64
				for i, call := range calls {
					fmt.Sscanf(call, []string{"trim %d", "zero %d"}[i], &n)
					sum += n
				}
				if n == 0 || tt.covers > 0 && sum != tt.covers {
					t.Errorf("store calls %q cover %d bytes", calls, sum)
				}
			})
		})
	}
}

// A COMPARE AND WRITE gets in between two slices.
func TestSlicesDoNotHoldTheWholeRange(t *testing.T) {
	s := &thinStore{writableStore{memStore{bytes: make([]byte, 16<<20)}}}
	d := NewDisk(s, Options{BlockSize: 512})
	if err := d.sliced(request{}, "UNMAP", 0, 16<<20, func(off, n int64) error {
		lba := (off/sliceBytes + 1) * sliceBytes / 512 % (16 << 20 / 512)
		r, err := d.Execute(cdbWith("89 00 %016x 000000 01 00 00", int(lba)), [][]byte{make([]byte, 1024)}, true)
		if err != nil || r.Status != good {
			t.Errorf("%+v, %v", r, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
