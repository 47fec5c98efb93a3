package image

import "io"

// sectorBytes is the unit in which a disk is written. A power cut does not tear it.
const sectorBytes = 512

// The sectors are all that decides what a file looks like: its first 512 bytes
// and its last. In a shorter file they overlap.
//
// Each signature lies in one of them. So a write that is done in part, at a
// power cut or an error, leaves each of them as it was or as it was to be, and
// makes the file look like nothing that it did not look like before and would
// not have looked like afterwards.
type sectors struct{ head, tail []byte }

// readSectors reads the sectors of a file of this size. If they cannot be read,
// they are shorter.
func readSectors(r io.ReaderAt, size int64) sectors {
	read := func(off int64) []byte {
		p := make([]byte, min(sectorBytes, max(size-off, 0)))
		n, _ := r.ReadAt(p, off)
		return p[:n]
	}
	return sectors{read(0), read(tailAt(size))}
}

// tailAt is the offset of the last sector.
func tailAt(size int64) int64 { return max(size-sectorBytes, 0) }
