package scsi

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// readError returns the sense data for a failed read of n bytes at off. A store
// does not say which block it could not read, so readError reads the blocks
// again one by one; the first that fails goes into INFORMATION.
func (d *Disk) readError(off, n int64, err error) error {
	size := int64(d.BlockSize)
	if n <= size || errors.Is(err, backstores.ErrWouldBlock) {
		return storeError(unrecoveredRead.withInfo(uint64(off/size)), err)
	}
	block := [][]byte{make([]byte, size)}
	for end := off + n; off < end; off += size {
		if err := backstores.ReadVec(d.store, block, off, 0); err != nil {
			return storeError(unrecoveredRead.withInfo(uint64(off/size)), err)
		}
	}
	return storeError(unrecoveredRead, err)
}

// readBefore reads the blocks before the one that the sense data of a READ names, and
// returns how many bytes they are: Linux takes them for read (sd_completed_bytes in
// drivers/scsi/sd.c). A nexus returns no data of a command that failed.
func (d *Disk) readBefore(bufs [][]byte, off int64, err error) (int, error) {
	s, isSense := err.(Sense)
	n := int64(s.Info)*int64(d.BlockSize) - off
	if !isSense || !s.HasInfo || n <= 0 || d.Direct {
		return 0, err
	}
	before, _ := request{data: slices.Clone(bufs)}.first(int(n))
	if backstores.ReadVec(d.store, before, off, 0) != nil {
		s.HasInfo = false // they have become bad meanwhile
		return 0, s
	}
	return int(n), s
}

// writeError returns the sense data for a failed write of n bytes at off. It
// names the block if there is only one.
func (d *Disk) writeError(off, n int64, err error) error {
	if size := int64(d.BlockSize); n <= size {
		return storeError(writeFault.withInfo(uint64(off/size)), err)
	}
	return storeError(writeFault, err)
}

// storeError returns s with the store's error as its cause, or the error that
// describes err better.
func storeError(s Sense, err error) error {
	if errors.Is(err, backstores.ErrWouldBlock) {
		return backstores.ErrWouldBlock
	}
	if err == backstores.ErrNoPower { // it was cut while the command was executed
		return noPower
	}
	if err == backstores.ErrProtected {
		return writeProtected
	}
	if errors.Is(err, backstores.ErrProtected) {
		return writeProtected.withCause(err)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return spaceAllocation.withCause(err)
	}
	return s.withCause(err)
}
