package backstores

import (
	"crypto/sha256"
	"fmt"
)

// begin has the overlay say that its base is being changed from now on.
func (o *overlay) begin() (err error) {
	r := &o.header.record
	if r.committing {
		return nil
	}
	if r.rest, err = o.restOf(o.base); err != nil {
		return err
	}
	r.committing = true
	if _, err := o.file.WriteAt(r.commitBytes(), o.header.recordAt+commitAt); err != nil {
		return err
	}
	return o.file.Flush()
}

// end has the overlay say that all of it is in its base.
func (o *overlay) end() error {
	if _, err := o.file.WriteAt(doneBytes, o.header.recordAt+doneAt); err != nil {
		return err
	}
	return o.file.Flush()
}

// restOf is the SHA-256 of 64 blocks that are not changed, where there are
// that many in 64 times 64 places.
func (o *overlay) restOf(base Backstore) (sum [32]byte, err error) {
	h := sha256.New()
	p := make([]byte, blockBytes)
	const places = 64
	for i := range int64(places) {
		start := o.size / places * i / blockBytes * blockBytes
		for k := range int64(places) {
			off := start + o.size/places/places*k/blockBytes*blockBytes
			if o.has(off) {
				continue
			}
			q := p[:min(blockBytes, o.size-off)]
			if err := ReadVec(base, [][]byte{q}, off, 0); err != nil {
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
