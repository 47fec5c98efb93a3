package backstores

import "io"

// FullyProvisioned returns b without Trim and Extent. To the initiator it is a
// fully provisioned disk, which cannot be trimmed.
func FullyProvisioned(b Backstore) Backstore {
	w, ok := b.(io.WriterAt)
	if !ok {
		return struct {
			Backstore
			VectorReader
			Resizer
		}{b, full{Backstore: b}, full{Backstore: b}}
	}
	return full{b, w}
}

// A full has the abilities that the functions of this package give to any store
// that can be written. If the store itself lacks one, it works like the function:
// ReadVec under NoWait returns ErrWouldBlock.
type full struct {
	Backstore
	io.WriterAt
}

func (f full) ReadVec(bufs [][]byte, off int64, flag Flag) error {
	return ReadVec(f.Backstore, bufs, off, flag)
}

func (f full) WriteVec(bufs [][]byte, off int64, flag Flag) error {
	return WriteVec(f.Backstore, bufs, off, flag)
}

func (f full) Flush() error            { return Flush(f.Backstore) }
func (f full) Zero(off, n int64) error { return Zero(f.Backstore, off, n) }
func (f full) Resize(n int64) error    { return Resize(f.Backstore, n) }
