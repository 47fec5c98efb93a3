package scsi

import "encoding/binary"

// A request is a command on its way: a CDB of the length its row has, and the
// buffers. It is passed by value, as one that is pointed to would be allocated.
type request struct {
	cdb  []byte
	data [][]byte
	wait bool // it may wait; else it fails with backstores.ErrWouldBlock
}

// room is the number of bytes in the buffers.
func (r request) room() (n int) {
	for _, b := range r.data {
		n += len(b)
	}
	return n
}

// reply puts p into the buffers, as far as they and the allocation length go.
// Less than all of it is no error (SPC-5, Allocation length).
func (r request) reply(p []byte, allocation int) (n int, err error) {
	p = p[:min(len(p), allocation)]
	for _, b := range r.data {
		c := copy(b, p[n:])
		n += c
		if c < len(b) {
			break
		}
	}
	return n, nil
}

// first returns the buffers' first n bytes, in buffers. It may cut the last of
// them short in place, which does no harm when the command comes again.
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

// list copies n bytes of a parameter list, which has to be there.
func (r request) list(n int) ([]byte, error) {
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

// head is a copy of the first n bytes of the buffers, or as many as there are.
func (r request) head(n int) (p []byte) {
	for _, b := range r.data {
		p = append(p, b[:min(n-len(p), len(b))]...)
	}
	return p
}

// unused is the end of a command with data-out of which it took none. Who sent it
// as one with data-in gets what is in the buffers, which is others'.
func (r request) unused() (int, error) {
	r.erase()
	return 0, nil
}

// erase clears the buffers.
func (r request) erase() {
	for _, b := range r.data {
		clear(b)
	}
}

// blocks are the LBA and the number of blocks of a medium command, from where
// all commands of its CDB length have them (SBC-4, READ and WRITE commands).
func (r request) blocks() (lba, n uint64) {
	switch c := r.cdb; len(c) {
	case 6:
		lba = uint64(binary.BigEndian.Uint32(c) & 0x1fffff)
		if n = uint64(c[4]); n == 0 {
			n = 256 // of the six-byte commands alone
		}
	case 10:
		lba, n = uint64(binary.BigEndian.Uint32(c[2:])), uint64(binary.BigEndian.Uint16(c[7:]))
	case 12:
		lba, n = uint64(binary.BigEndian.Uint32(c[2:])), uint64(binary.BigEndian.Uint32(c[6:]))
	case 16:
		lba, n = binary.BigEndian.Uint64(c[2:]), uint64(binary.BigEndian.Uint32(c[10:]))
	}
	return lba, n
}

// lengthAt is where the number of blocks of a medium command stands.
func (r request) lengthAt() int { return map[int]int{6: 4, 10: 7, 12: 6, 16: 10}[len(r.cdb)] }

// flag says whether a bit of the CDB's second byte is set. A six-byte command
// has its LBA there.
func (r request) flag(bit byte) bool { return len(r.cdb) > 6 && r.cdb[1]&bit != 0 }
