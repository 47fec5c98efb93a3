package scsi

import (
	"encoding/binary"
	"slices"
)

// A request is a command being executed. It is passed by value: a pointer to it
// would escape and cost an allocation.
type request struct {
	cdb  []byte // of the length of the row's usage data, once that is known
	data [][]byte
	wait bool // if false, fail with backstores.ErrWouldBlock rather than wait

	held    bool   // by a fault
	managed uint32 // task management functions before that

	nexus *unitNexus // nil behind the ring
	row   *row       // of the command
}

// room returns the size of the buffers in bytes.
func (r request) room() (n int) {
	for _, b := range r.data {
		n += len(b)
	}
	return n
}

// reply copies p into the buffers, up to the allocation length. It is not an
// error if p does not fit (SPC-5, Allocation length). It returns how much was copied
// or, for a nexus, how much there was to copy.
func (r request) reply(p []byte, allocation int) (n int, err error) {
	p = p[:min(len(p), allocation)]
	for _, b := range r.data {
		c := copy(b, p[n:])
		n += c
		if c < len(b) {
			break
		}
	}
	if r.nexus != nil {
		return len(p), nil
	}
	return n, nil
}

// first returns the first n bytes of the buffers, and reports whether there are
// as many. It may shorten the last buffer in place, which is harmless if the
// command is executed again.
func (r request) first(n int) ([][]byte, bool) {
	if n == 0 {
		return nil, true
	}
	for i, b := range r.data {
		if n <= len(b) {
			if n < len(b) {
				r.data[i] = b[:n]
			}
			return r.data[:i+1], true
		}
		n -= len(b)
	}
	return r.data, n == 0
}

// copyOut returns a copy of the first n bytes of data-out, all of which must be
// there.
func (r request) copyOut(n int) ([]byte, error) {
	bufs, ok := r.first(n)
	if !ok {
		return nil, listLengthError
	}
	p := make([]byte, 0, n)
	for _, b := range bufs {
		p = append(p, b...)
	}
	return p, nil
}

// peek returns a copy of the first n bytes of the buffers, or of all if there
// are fewer.
func (r request) peek(n int) (p []byte) {
	for _, b := range r.data {
		p = append(p, b[:min(n-len(p), len(b))]...)
	}
	return p
}

// ignoreDataOut completes a command that does not use its data-out. If the
// initiator sent it with data-in instead, it must not receive what the buffers
// hold of other commands.
func (r request) ignoreDataOut() (int, error) {
	r.clear()
	return 0, nil
}

func (r request) clear() {
	for _, b := range r.data {
		clear(b)
	}
}

// blocks returns the LBA and the number of blocks of a medium command. Their
// position follows from the length of the CDB (SBC-4, READ and WRITE commands).
func (r request) blocks() (lba, n uint64) {
	switch c := r.cdb; len(c) {
	case 6:
		lba = uint64(binary.BigEndian.Uint32(c) & 0x1fffff)
		if n = uint64(c[4]); n == 0 {
			n = 256 // six-byte commands only
		}
	case 10:
		lba, n = uint64(binary.BigEndian.Uint32(c[2:])), uint64(binary.BigEndian.Uint16(c[7:]))
	case 12:
		lba, n = uint64(binary.BigEndian.Uint32(c[2:])), uint64(binary.BigEndian.Uint32(c[6:]))
		if c[0] == opReadCD {
			n >>= 8
		}
	case 16:
		lba, n = binary.BigEndian.Uint64(c[2:]), uint64(binary.BigEndian.Uint32(c[10:]))
	}
	return lba, n
}

// lengthOffset returns the offset of the number of blocks in the CDB of a medium
// command.
func (r request) lengthOffset() int { return map[int]int{6: 4, 10: 7, 12: 6, 16: 10}[len(r.cdb)] }

// flag reports whether a bit of the second byte is set. Six-byte CDBs have no
// flags there, but a part of the LBA.
func (r request) flag(bit byte) bool { return len(r.cdb) > 6 && r.cdb[1]&bit != 0 }

// padded returns the buffers and, if they end within a block, memory for the rest of
// it: an initiator that expects a part of a block gets that part.
func (r request) padded(size int) [][]byte {
	rest := r.room() % size
	if rest == 0 {
		return r.data
	}
	return append(slices.Clip(r.data), make([]byte, size-rest))
}

// wholeBlocks returns the part of the buffers that is whole blocks.
func (r request) wholeBlocks(size int) (bufs [][]byte, n int64) {
	n = int64(r.room() / size * size)
	bufs, _ = r.first(int(n))
	return bufs, n
}
