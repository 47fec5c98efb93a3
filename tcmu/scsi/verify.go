package scsi

import (
	"bytes"
	"slices"

	"github.com/lunserve/lunserve/backstores"
)

// chunk is how much of the blocks a command reads into memory at a time, in bytes.
// Data-out is never copied but for lists of parameters and single blocks: it may
// have MaxTransfer bytes, in each of the workers.
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
	var want [][]byte
	switch r.cdb[1] >> 1 & 3 {
	case 0:
		r.ignoreDataOut()
	case 1:
		var ok bool
		if want, ok = r.first(int(n)); !ok {
			err = listLengthError
		}
	case 2:
		err = badField(1, 2)
	case 3:
		var block []byte
		block, err = r.copyOut(d.BlockSize)
		many := bytes.Repeat(block, int(min(n, chunk))/d.BlockSize)
		want = slices.Repeat([][]byte{many}, int((n+chunk-1)/chunk))
	}
	if err != nil {
		return 0, err
	}
	return 0, d.compare(off, n, want)
}

// compare reads n bytes of the medium at off and compares them with want, which
// has as many or more, or is nil and equals everything. The error of a difference
// is MISCOMPARE with the offset of the first byte that differs.
func (d *Disk) compare(off, n int64, want [][]byte) error {
	buf := make([]byte, min(n, chunk))
	expected := backstores.NewSegments(want)
	defer expected.Free()
	for done := int64(0); done < n; {
		have := buf[:min(n-done, int64(len(buf)))]
		if err := backstores.ReadVec(d.store, [][]byte{have}, off+done, 0); err != nil {
			return d.readError(off+done, int64(len(have)), err)
		}
		if want != nil {
			if at, equal := difference(have, expected.Next(int64(len(have)))); !equal {
				return miscompared.withInfo(uint64(done) + uint64(at))
			}
		}
		done += int64(len(have))
	}
	return nil
}

// difference returns the index of the first byte in which have differs from want,
// or reports that they are equal. They must be of the same length.
func difference(have []byte, want [][]byte) (at int, equal bool) {
	for _, p := range want {
		if !bytes.Equal(have[at:at+len(p)], p) {
			for i := 0; have[at] == p[i]; i++ {
				at++
			}
			return at, false
		}
		at += len(p)
	}
	return at, true
}

// prefetch is SBC-4, PRE-FETCH (10) and (16) command. It reads the blocks, which
// brings them into the host's page cache. The status is GOOD, not CONDITION MET,
// as the host may drop them again. It reads no more than MAXIMUM PREFETCH
// LENGTH; the rest is ignored.
func (d *Disk) prefetch(r request) (int, error) {
	lba, blocks := r.blocks()
	off, n, err := d.extent(lba, blocks)
	if err == nil && blocks == 0 {
		all := d.blocks.Load()
		off, n, err = d.extent(lba, min(all-min(lba, all), MaxTransfer/uint64(d.BlockSize)))
	}
	if err != nil {
		return 0, err
	}
	return 0, d.compare(off, min(n, MaxTransfer), nil)
}
