package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A holeStore is a thin store that has data up to the first edge, a hole up to
// the second, and so on. Extent returns at most atMost bytes.
type holeStore struct {
	thinStore
	edges  []int64
	atMost int64
	err    error
}

func (h *holeStore) Extent(off int64) (n int64, data bool, err error) {
	if h.err != nil {
		return 0, false, h.err
	}
	if off < 0 || off >= h.Size() {
		return 0, false, errPast
	}
	data, end := true, h.Size()
	for _, edge := range h.edges {
		if off < edge {
			end = edge
			break
		}
		data = !data
	}
	return min(end-off, h.atMost), data, nil
}

func newHoleDisk(size, blockSize int, edges ...int64) (*Disk, *holeStore) {
	h := &holeStore{edges: edges, atMost: 1 << 40}
	h.bytes = randomBytes(size)
	return NewDisk(h, Options{BlockSize: blockSize}), h
}

const mapped, deallocated = "00 000000", "01 000000"

func TestLBAStatus(t *testing.T) {
	ask := func(lba string) string { return "9e 12 " + lba + " 00001000 00 00" }
	d, _ := newHoleDisk(1<<20, 512, 4096, 8192, 16384)
	const (
		first = "0000000000000000 00000008" + mapped
		hole  = "0000000000000008 00000008" + deallocated
		more  = "0000000000000010 00000010" + mapped
		rest  = "0000000000000020 000007e0" + deallocated
	)
	testExchanges(t, d, []exchange{
		{name: "all", cdb: ask("0000000000000000"), want: "00000044 00000000" + first + hole + more + rest},
		{name: "from within data", cdb: ask("0000000000000005"), want: "00000044 00000000  0000000000000005 00000003" + mapped + hole + more + rest},
		{name: "from a hole", cdb: ask("0000000000000008"), want: "00000034 00000000" + hole + more + rest},
		{name: "from within a hole", cdb: ask("000000000000000f"), want: "00000034 00000000  000000000000000f 00000001" + deallocated + more + rest},
		{name: "the last block", cdb: ask("00000000000007ff"), want: "00000014 00000000  00000000000007ff 00000001" + deallocated},
		{name: "past the end", cdb: ask("0000000000000800"), fail: "5/21/00 info 2048"},
		{name: "past the end, far", cdb: ask("ffffffffffffffff"), fail: "5/21/00"},
		{name: "past the end, allocation length 0", cdb: "9e 12 0000000000000800 00000000 00 00", fail: "5/21/00 info 2048"},
		{name: "REPORT TYPE", cdb: "9e 12 0000000000000000 00001000 01 00", fail: "5/24/00 cdb 14.0"},
	})
	// The length counts whole descriptors that fit, and at least one.
	whole := unhex(first + hole + more + rest)
	for allocation := 0; allocation <= 8+len(whole)+1; allocation++ {
		for _, room := range []int{allocation, 4096} {
			count := min(max((allocation-8)/16, 1), 4)
			want := slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(4+16*count)), make([]byte, 4), whole[:16*count])
			want = want[:min(len(want), allocation)]
			buf := stale(room)
			n, why := execute(t, d, unhex(fmt.Sprintf("9e 12 0000000000000000 %08x 00 00", allocation)), split(buf, 7, 100)...)
			if why != "" || !bytes.Equal(buf[:n], want) {
				t.Errorf("allocation length %d: sense data %q\n got %x\nwant %x", allocation, why, buf[:n], want)
			}
		}
	}
}

func TestLBAStatusWithoutHoles(t *testing.T) {
	all := exchange{name: "all", cdb: "9e 12 0000000000000000 00000100 00 00", want: "00000014 00000000  0000000000000000 00000800" + mapped}
	some := exchange{name: "some", cdb: "9e 12 0000000000000123 00000018 00 00", want: "00000014 00000000  0000000000000123 000006dd" + mapped}
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) { testExchanges(t, newUnit(variant, 512).Disk, []exchange{all, some}) })
	}
	// Without UNMAP all blocks are mapped, even those in holes.
	h := &holeStore{edges: []int64{512}, atMost: 1 << 40}
	h.bytes = randomBytes(1 << 20)
	d := NewDisk(struct {
		*writableStore
		extenter
	}{&h.writableStore, h}, Options{BlockSize: 512})
	testExchanges(t, d, []exchange{all, some})
}

type extenter interface {
	Extent(int64) (int64, bool, error)
}

func TestLBAStatusOfMoreBlocksThanFitIntoADescriptor(t *testing.T) {
	d, _ := newHugeDisk(5<<41, 512) // 5 × 2³² blocks
	testExchanges(t, d, []exchange{
		{name: "one descriptor", cdb: "9e 12 0000000000000000 00000018 00 00", want: "00000014 00000000  0000000000000000 ffffffff" + mapped},
		{name: "two", cdb: "9e 12 0000000000000000 00000028 00 00",
			want: "00000024 00000000  0000000000000000 ffffffff" + mapped + "00000000ffffffff ffffffff" + mapped},
		{name: "the end", cdb: "9e 12 00000004fffffffe 00000028 00 00", want: "00000014 00000000  00000004fffffffe 00000002" + mapped},
	})
}

// It compares with a map of all blocks, for random holes.
func TestLBAStatusMatchesHoles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, blockSize := range []int{512, 4096} {
		for range 200 {
			const size = 64<<10 + 300 // not a multiple of the block size
			var edges []int64
			for range r.IntN(12) {
				edge := r.Int64N(size + 1)
				if r.IntN(2) == 0 {
					edge &^= int64(blockSize - 1)
				}
				edges = append(edges, edge)
			}
			slices.Sort(edges)
			edges = slices.Compact(edges)
			d, h := newHoleDisk(size, blockSize, edges...)
			if r.IntN(2) == 0 {
				h.atMost = int64(blockSize) + r.Int64N(5000)
			}
			blocks := size / blockSize
			isMapped := make([]bool, blocks)
			for i := range isMapped {
				for off := i * blockSize; off < (i+1)*blockSize; off++ {
					n, _ := slices.BinarySearch(edges, int64(off)+1) // edges at or before off
					if n%2 == 0 {
						isMapped[i] = true
						break
					}
				}
			}
			start := r.IntN(blocks)
			buf := stale(8192)
			n, why := execute(t, d, unhex(fmt.Sprintf("9e 12 %016x 00002000 00 00", start)), buf)
			if why != "" || n < 24 || int(binary.BigEndian.Uint32(buf)) != n-4 {
				t.Fatalf("edges %d: sense data %q, % x", edges, why, buf[:n])
			}
			next, last := start, 2
			for b := buf[8:n]; len(b) > 0; b = b[16:] {
				lba, count := int(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))
				if lba != next || count < 1 || lba+count > blocks || b[12] > 1 || int(b[12]) == last || !bytes.Equal(b[13:16], []byte{0, 0, 0}) {
					t.Fatalf("edges %d: descriptor % x at block %d", edges, b[:16], next)
				}
				for i := lba; i < lba+count; i++ {
					if isMapped[i] != (b[12] == 0) {
						t.Fatalf("blocks of %d, edges %d: block %d has provisioning status %d", blockSize, edges, i, b[12])
					}
				}
				next, last = lba+count, int(b[12])
			}
			if next != blocks {
				t.Fatalf("edges %d: descriptors up to block %d", edges, next)
			}
		}
	}
}

func TestLBAStatusReportsStoreErrors(t *testing.T) {
	d, h := newHoleDisk(1<<20, 512)
	h.err = unix.EIO
	testExchanges(t, d, []exchange{
		{name: "GET LBA STATUS", cdb: "9e 12 0000000000000007 00000018 00 00", fail: "3/11/00 info 7"},
		{name: "LOG SENSE", cdb: "4d 00 4c 00 00 0000 0100 00", fail: "3/11/00 info 0"},
	})
}
