package scsi

import (
	"bytes"

	"github.com/lunserve/lunserve/backstores"
)

// chunk bounds the memory of commands that copy blocks, in bytes.
const chunk = 256 << 10

// verify is SBC-4, VERIFY (10), (12) and (16) command. With BYTCHK 00b the
// blocks must be readable, with 01b equal to the data-out, with 11b each equal
// to the one block of data-out.
func (d *Disk) verify(r request) (int, error) {
	off, n, err := d.extent(r.blocks())
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return r.ignoreDataOut()
	case n > MaxTransfer:
		return 0, badField(r.lengthOffset(), -1)
	}
	var want []byte
	switch r.cdb[1] >> 1 & 3 {
	case 0:
		r.ignoreDataOut()
	case 1:
		want, err = r.copyOut(int(n))
	case 2:
		err = badField(1, 2)
	case 3:
		want, err = r.copyOut(d.BlockSize)
	}
	if err != nil {
		return 0, err
	}
	return 0, d.compare(off, n, want)
}

// compare reads n bytes of the medium at off and compares them with want,
// repeated if it is shorter than n. A nil want equals everything. The error of a
// difference is MISCOMPARE with the offset of the first byte that differs.
func (d *Disk) compare(off, n int64, want []byte) error {
	buf := make([]byte, min(n, chunk))
	for done := int64(0); done < n; {
		have := buf[:min(n-done, int64(len(buf)))]
		if err := backstores.ReadVec(d.store, [][]byte{have}, off+done, 0); err != nil {
			return d.readError(off+done, int64(len(have)), err)
		}
		for i := 0; want != nil && i < len(have); {
			rest := want[(done+int64(i))%int64(len(want)):]
			rest = rest[:min(len(rest), len(have)-i)]
			if at := difference(have[i:], rest); at < len(rest) {
				return miscompared.withInfo(uint64(done) + uint64(i+at))
			}
			i += len(rest)
		}
		done += int64(len(have))
	}
	return nil
}

// difference returns the index of the first byte in which a differs from b, or
// len(b). a must not be shorter than b.
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

// prefetch is SBC-4, PRE-FETCH (10) and (16) command. It reads the blocks, which
// brings them into the host's page cache. The status is GOOD, not CONDITION MET,
// as the host may drop them again. It reads no more than MAXIMUM PREFETCH
// LENGTH; the rest is ignored.
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
