package overlay

import (
	"crypto/sha256"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
)

// BeginCommit records that the base is going to be changed. From then on the
// overlay can only be committed, or exported to a new image.
func (o *Overlay) BeginCommit() (err error) {
	// Blocks that only the marks know must be in the map before the base changes.
	if err := o.Flush(); err != nil {
		return err
	}
	r := &o.header.record
	if r.committing {
		return nil
	}
	if r.unchanged, err = o.sampleUnchanged(o.base); err != nil {
		return err
	}
	r.committing = true
	if _, err := o.file.WriteAt(r.commitBytes(), o.header.recordAt+commitAt); err != nil {
		return err
	}
	return o.file.Flush()
}

// EndCommit records that all changes are in the base. They must be durable there.
func (o *Overlay) EndCommit() error {
	if _, err := o.file.WriteAt(doneBytes, o.header.recordAt+doneAt); err != nil {
		return err
	}
	return o.file.Flush()
}

// Committing reports whether a commit has begun and is not complete.
func (o *Overlay) Committing() bool { return o.header.record.committing && !o.header.record.done }

// Committed reports whether all changes are in the base.
func (o *Overlay) Committed() bool { return o.header.record.done }

// sampleUnchanged returns the SHA-256 of up to 64 blocks that are not present,
// the first of 64 candidates in each of 64 parts of the disk.
func (o *Overlay) sampleUnchanged(base backstores.Backstore) (sum [32]byte, err error) {
	h := sha256.New()
	p := make([]byte, BlockBytes)
	const parts = 64
	for i := range int64(parts) {
		start := o.size / parts * i / BlockBytes * BlockBytes
		for k := range int64(parts) {
			off := start + o.size/parts/parts*k/BlockBytes*BlockBytes
			if o.has(off) {
				continue
			}
			q := p[:min(BlockBytes, o.size-off)]
			if err := backstores.ReadVec(base, [][]byte{q}, off, 0); err != nil {
				return sum, err
			}
			fmt.Fprintf(h, "%d ", off)
			h.Write(q)
			break
		}
	}
	h.Sum(sum[:0])
	return sum, nil
}
