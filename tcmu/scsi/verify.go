package scsi

import (
	"bytes"

	"github.com/lunserve/lunserve/backstores"
)

// chunk bounds the memory of commands that need a copy of what they work on.
const chunk = 256 << 10

// verify is SBC-4, VERIFY (10) command: with BYTCHK 00b the blocks have to be
// readable, with 01b to equal the data-out, with 11b each to equal its one
// block.
func (d *Disk) verify(r request) (int, error) {
	off, n, err := d.extent(r.blocks())
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return r.unused()
	case n > MaxTransfer:
		return 0, badField(r.lengthAt(), -1)
	}
	var want []byte
	switch r.cdb[1] >> 1 & 3 {
	case 0:
		r.unused()
	case 1:
		want, err = r.list(int(n))
	case 2:
		err = badField(1, 2)
	case 3:
		want, err = r.list(d.BlockSize)
	}
	if err != nil {
		return 0, err
	}
	return 0, d.compare(off, n, want)
}

// compare reads n bytes of the medium at off and compares them with want, over
// and over if it is shorter than n; nil equals everything. A difference gives
// MISCOMPARE with the offset of the first byte that differs.
func (d *Disk) compare(off, n int64, want []byte) error {
	buf := make([]byte, min(n, chunk))
	for done := int64(0); done < n; {
		have := buf[:min(n-done, int64(len(buf)))]
		if err := backstores.ReadVec(d.store, [][]byte{have}, off+done, 0); err != nil {
			return d.unread(off+done, int64(len(have)), err)
		}
		for i := 0; want != nil && i < len(have); {
			rest := want[(done+int64(i))%int64(len(want)):]
			rest = rest[:min(len(rest), len(have)-i)]
			if at := difference(have[i:], rest); at < len(rest) {
				return miscompared.at(uint64(done) + uint64(i+at))
			}
			i += len(rest)
		}
		done += int64(len(have))
	}
	return nil
}

// difference is the index of the first byte in which a differs from b, or
// len(b). a is at least as long.
func difference(a, b []byte) int {
	if bytes.Equal(a[:len(b)], b) {
		return len(b)
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}

// prefetch is SBC-4, PRE-FETCH (10) command. Blocks are read, and so are in
// the cache of the system that has the image; whether they stay is up to it,
// for which the status is GOOD and not CONDITION MET. More than the Block
// Limits VPD page says are left alone, as IMMED would allow.
func (d *Disk) prefetch(r request) (int, error) {
	lba, blocks := r.blocks()
	off, n, err := d.extent(lba, blocks)
	if err != nil {
		return 0, err
	}
	if blocks == 0 {
		n = int64(d.blocks.Load()-lba) * int64(d.BlockSize)
	}
	return 0, d.compare(off, min(n, MaxTransfer), nil)
}
