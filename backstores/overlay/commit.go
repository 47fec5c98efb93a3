package overlay

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
)

// While a commit changes a base, neither its time nor the samples in its
// identity stay the same. So before the first change the overlay saves those
// samples, after the marks at its end. From then on a base is recognized if each
// sector of a sample holds what it held before or, where the overlay has
// changes, what it will hold. What is saved has the digest of the identity, so
// a base passes only if all samples do.

// sectorBytes is the unit in which a write may be incomplete after a power cut.
const sectorBytes = 512

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
	saved, err := readSamples(o.base, o.size)
	if err != nil {
		return err
	}
	if r.unchanged = sha256.Sum256(saved); r.unchanged != r.id.digest {
		return fmt.Errorf("%s: its base is being changed by another program", o.path)
	}
	at := o.header.fileBytes()
	if end := at + int64(len(saved)); o.file.Size() < end {
		if err := backstores.Resize(o.file, end); err != nil {
			return err
		}
	}
	if _, err := o.file.WriteAt(saved, at); err != nil {
		return err
	}
	if err := o.file.Flush(); err != nil {
		return err
	}
	if _, err := o.file.WriteAt(r.commitBytes(), o.header.recordAt+commitAt); err != nil {
		return err
	}
	if err := o.file.Flush(); err != nil {
		return err
	}
	r.committing = true
	return nil
}

// checkCommitting returns an error unless base is the image that the overlay is
// being merged into.
func (o *Overlay) checkCommitting(base backstores.Backstore, name string) error {
	other := fmt.Errorf("%s: is not the image that %s is being merged into, or has changed since", name, o.path)
	id := &o.header.record.id
	if id.size != o.size {
		return other // it was not a raw image
	}
	if o.header.record.unchanged != id.digest {
		return fmt.Errorf("%s: an older version of lunserve has begun to merge it, and must end that", o.path)
	}
	now, err := readSamples(base, o.size)
	if err != nil {
		return err
	}
	saved := make([]byte, len(now))
	if o.file.Size() < o.header.fileBytes()+int64(len(saved)) {
		return other
	}
	if err := backstores.ReadVec(o.file, [][]byte{saved}, o.header.fileBytes(), 0); err != nil {
		return err
	}
	if sha256.Sum256(saved) != id.digest {
		return other
	}
	for _, s := range samples(o.size) {
		for off := s.off; off < s.off+s.n; {
			n := min(roundUp(off+1, sectorBytes), s.off+s.n) - off
			ok := bytes.Equal(now[:n], saved[:n])
			if !ok && o.has(off) {
				p := make([]byte, n)
				if err := backstores.ReadVec(o.file, [][]byte{p}, o.start+off, 0); err != nil {
					return err
				}
				ok = bytes.Equal(now[:n], p)
			}
			if !ok {
				return other
			}
			now, saved, off = now[n:], saved[n:], off+n
		}
	}
	return nil
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
