package iscsi

import "encoding/binary"

// A header is a basic header segment (RFC 7143, 11.2.1). Fields that several PDUs
// have are accessed by name, others by offset.
type header [48]byte

// The opcodes of RFC 7143, 11.2.1.2.
const (
	opNOPOut  = 0x00
	opCommand = 0x01
	opManage  = 0x02
	opLogin   = 0x03
	opText    = 0x04
	opDataOut = 0x05
	opLogout  = 0x06
	opSNACK   = 0x10

	opNOPIn         = 0x20
	opResponse      = 0x21
	opManaged       = 0x22
	opLoginResponse = 0x23
	opTextResponse  = 0x24
	opDataIn        = 0x25
	opLogoutAnswer  = 0x26
	opR2T           = 0x31
	opReject        = 0x3f
)

// Flags of the second byte.
const (
	final     = 0x80 // also the T bit of a login
	more      = 0x40 // the C bit of text: the rest follows
	reads     = 0x40 // of a command
	writes    = 0x20
	overflow  = 0x04 // of a response and of Data-In
	underflow = 0x02
	hasStatus = 0x01 // of Data-In
)

const (
	immediate  = 0x40       // of the first byte
	noTag      = 0xffffffff // the reserved tag
	digestSize = 4
)

func (h *header) op() byte           { return h[0] & 0x3f }
func (h *header) immediate() bool    { return h[0]&immediate != 0 }
func (h *header) flag(f byte) bool   { return h[1]&f != 0 }
func (h *header) ahsBytes() int      { return int(h[4]) * 4 }
func (h *header) dataBytes() int     { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }
func (h *header) setDataBytes(n int) { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }
func (h *header) lun() uint64        { return binary.BigEndian.Uint64(h[8:]) }
func (h *header) tag() uint32        { return h.word(16) } // initiator task tag
func (h *header) targetTag() uint32  { return h.word(20) } // target transfer tag
func (h *header) expected() uint32   { return h.word(20) } // expected data transfer length of a command
func (h *header) cmdSN() uint32      { return h.word(24) }

// word returns the 32-bit field at an offset.
func (h *header) word(at int) uint32       { return binary.BigEndian.Uint32(h[at:]) }
func (h *header) setWord(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }

// answer returns the header of a response to h, with its initiator task tag.
func (h *header) answer(op byte) (a header) {
	a[0], a[1] = op, final
	copy(a[16:20], h[16:20])
	return a
}

// padding returns the number of bytes that fill n up to a multiple of four.
func padding(n int) int { return -n & 3 }

// The reasons of a Reject, RFC 7143, 11.17.1.
const (
	dataDigestError = 0x02
	snackReject     = 0x03
	protocolError   = 0x04
	notSupported    = 0x05
	tooManyCommands = 0x06 // immediate ones
	invalidPDUField = 0x09
)

// extendedCDB returns the CDB of a command, whose first 16 bytes are in the header
// and whose rest may be in an additional header segment (RFC 7143, 11.2.2.3). It
// appends to cdb, which must have room for maxCDB. It reports whether the segments
// are well formed.
func extendedCDB(cdb []byte, h *header, ahs []byte) ([]byte, bool) {
	cdb = append(cdb, h[32:48]...)
	const extended = 1
	for len(ahs) > 0 {
		if len(ahs) < 4 {
			return cdb, false
		}
		n := 3 + int(binary.BigEndian.Uint16(ahs)) // with length and type, without padding
		if n+padding(n) > len(ahs) {
			return cdb, false
		}
		if kind := ahs[2] & 0x3f; kind == extended {
			if n < 4 || len(cdb)+n-4 > maxCDB {
				return cdb, false
			}
			cdb = append(cdb, ahs[4:n]...)
		}
		ahs = ahs[n+padding(n):]
	}
	return cdb, true
}

// maxCDB is the length of the longest CDB, of variable length.
const maxCDB = 260
