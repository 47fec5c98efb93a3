package e2e

import (
	"bytes"
	enc "encoding/binary"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// COMPARE AND WRITE counts in a block: each compares with the number before. The
// server is killed at random, also between execution and completion. Then the
// kernel has the next server execute the command again, which must not report that
// the number differs: it was this command that changed it.
func TestKilledCompareAndWriteIsNoMiscompare(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := start(t, image)
	disk := s.disks[0]
	// Not its generic node: a signal interrupts SG_IO there, which then begins again
	// and sends the command twice (sg_ioctl_common of Linux 6.1).
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var count atomic.Uint64
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !stop.Load() {
			n := count.Load()
			c := command{
				// COMPARE AND WRITE of SBC: one block at LBA 0, FUA.
				cdb: []byte{0x89, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0},
				out: append(numbered(n), numbered(n+1)...),
			}
			const miscompare = 0xe
			switch err := c.sendTo(f); {
			case err != nil:
				t.Errorf("count %d: %v", n, err)
				return
			case c.status == 0:
				count.Add(1)
			case len(c.sense) > 2 && c.sense[0]&0x7f >= 0x72 && c.sense[1]&0xf == miscompare,
				len(c.sense) > 2 && c.sense[0]&0x7f < 0x72 && c.sense[2]&0xf == miscompare:
				t.Errorf("MISCOMPARE with %d; the block is %x", n, read(t, image, 0, 8))
				return
			} // otherwise it was not executed, as with a unit attention
		}
	}()
	r := rand.New(rand.NewPCG(*seed, 2))
	t.Logf("seed %d", *seed)
	for range max(5, *torture) {
		time.Sleep(time.Duration(200+r.IntN(200)) * time.Millisecond)
		time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
		s.killedWithGuard()
		s = start(t, image)
	}
	stop.Store(true)
	<-ended
	t.Logf("counted to %d", count.Load())
	holds(t, image, 0, numbered(count.Load()))
	f.Close()
	s.ends()
}

// numbered returns a block that is different for each number.
func numbered(n uint64) []byte {
	return bytes.Repeat(enc.BigEndian.AppendUint64(nil, n), 512/8)
}
