package iscsi_test

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const initiatorName = "iqn.2001-04.com.example:initiator"

// A pdu is a header and a data segment.
type pdu struct {
	header [48]byte
	data   []byte
}

func (p *pdu) word(at int) uint32         { return binary.BigEndian.Uint32(p.header[at:]) }
func (p *pdu) set(at int, v uint32)       { binary.BigEndian.PutUint32(p.header[at:], v) }
func (p *pdu) keys() map[string]string    { return parseKeys(p.data) }
func (p *pdu) loginStatus() (code uint16) { return binary.BigEndian.Uint16(p.header[36:]) }

func parseKeys(text []byte) map[string]string {
	m := make(map[string]string)
	for _, kv := range strings.Split(string(text), "\x00") {
		if key, value, ok := strings.Cut(kv, "="); ok {
			m[key] = value
		}
	}
	return m
}

// An initiator is a small one, which sends what a test wants.
type initiator struct {
	t                        testing.TB
	conn                     net.Conn
	cmdSN, tag               uint32
	isid                     byte
	headerDigest, dataDigest bool
}

// dial connects to a portal.
func dial(t testing.TB, portal string) *initiator {
	t.Helper()
	c, err := net.Dial("tcp", portal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &initiator{t: t, conn: c, cmdSN: 1, isid: 1}
}

func digestOf(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// write sends a PDU as it is, with digests.
func (i *initiator) write(p pdu, ahs ...byte) {
	n := len(p.data)
	p.header[4] = byte(len(ahs) / 4)
	p.header[5], p.header[6], p.header[7] = byte(n>>16), byte(n>>8), byte(n)
	b := append(p.header[:], ahs...)
	if i.headerDigest {
		b = append(b, digestOf(b)...)
	}
	data := append(p.data[:n:n], make([]byte, -n&3)...)
	if b = append(b, data...); i.dataDigest && n > 0 {
		b = append(b, digestOf(data)...)
	}
	i.conn.Write(b) // an error shows when the answer is read
}

// tryRead receives a PDU, and checks its digests.
func (i *initiator) tryRead() (p pdu, err error) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(i.conn, b)
		}
		return b
	}
	copy(p.header[:], read(48))
	if i.headerDigest && string(read(4)) != string(digestOf(p.header[:])) && err == nil {
		i.t.Error("wrong header digest")
	}
	n := int(p.header[5])<<16 | int(p.header[6])<<8 | int(p.header[7])
	padded := read((n + 3) &^ 3)
	if i.dataDigest && n > 0 && string(read(4)) != string(digestOf(padded)) && err == nil {
		i.t.Error("wrong data digest")
	}
	p.data = padded[:n]
	return p, err
}

// read receives a PDU with this opcode.
func (i *initiator) read(op byte) pdu {
	i.t.Helper()
	p, err := i.tryRead()
	if err != nil {
		i.t.Fatalf("want PDU %#02x: %v", op, err)
	}
	if p.header[0]&0x3f != op {
		i.t.Fatalf("got PDU %#02x, want %#02x: % x", p.header[0], op, p.header)
	}
	return p
}

// isDisconnected reads until the target has closed the connection.
func (i *initiator) isDisconnected() {
	i.t.Helper()
	for {
		if _, err := i.tryRead(); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				i.t.Error("still connected")
			}
			return
		}
	}
}

func text(keys ...string) []byte { return []byte(strings.Join(keys, "\x00") + "\x00") }

// loginRequest sends a login PDU, from one stage to another, and returns the answer.
func (i *initiator) loginRequest(stage, next byte, keys ...string) pdu {
	i.t.Helper()
	var p pdu
	p.header[0], p.header[1], p.header[13] = 0x43, stage<<2, i.isid
	if next > stage {
		p.header[1] |= 0x80 | next
	}
	p.set(24, i.cmdSN)
	p.data = text(keys...)
	i.write(p)
	return i.read(0x23)
}

// login logs in, without the security stage.
func (i *initiator) login(keys ...string) *initiator {
	i.t.Helper()
	keys = append([]string{"InitiatorName=" + initiatorName, "TargetName=" + targetName}, keys...)
	a := i.loginRequest(1, 3, keys...)
	if a.loginStatus() != 0 || a.header[1] != 0x87 {
		i.t.Fatalf("login failed: % x %q", a.header, a.data)
	}
	got := a.keys()
	i.headerDigest, i.dataDigest = got["HeaderDigest"] == "CRC32C", got["DataDigest"] == "CRC32C"
	return i
}

const (
	wantsData = 0x40
	hasData   = 0x20
	complete  = 0x80
)

// command sends a SCSI command with this expected data transfer length.
func (i *initiator) command(flags byte, expected int, cdb, data []byte) (tag uint32) {
	var p pdu
	p.header[0], p.header[1] = 0x01, flags
	i.tag++
	p.set(16, i.tag)
	p.set(20, uint32(expected))
	p.set(24, i.cmdSN)
	i.cmdSN++
	copy(p.header[32:], cdb)
	p.data = data
	i.write(p)
	return i.tag
}

// dataOut sends a Data-Out PDU.
func (i *initiator) dataOut(tag, targetTag uint32, sn, off int, last bool, data []byte) {
	var p pdu
	p.header[0] = 0x05
	if last {
		p.header[1] = complete
	}
	p.set(16, tag)
	p.set(20, targetTag)
	p.set(36, uint32(sn))
	p.set(40, uint32(off))
	p.data = data
	i.write(p)
}

// readData receives data-in until the status, and returns both and the sense data.
func (i *initiator) readData() (data []byte, status byte, sense []byte) {
	i.t.Helper()
	for {
		p, err := i.tryRead()
		if err != nil {
			i.t.Fatal(err)
		}
		switch op := p.header[0] & 0x3f; op {
		case 0x25:
			if int(p.word(40)) != len(data) {
				i.t.Errorf("data-in at %d, want %d", p.word(40), len(data))
			}
			if data = append(data, p.data...); p.header[1]&1 != 0 {
				return data, p.header[3], nil
			}
		case 0x21:
			if len(p.data) > 2 {
				sense = p.data[2:]
			}
			return data, p.header[3], sense
		default:
			i.t.Fatalf("PDU %#02x", op)
		}
	}
}

// good fails unless the next answer is the status GOOD, and returns the data-in.
func (i *initiator) good() []byte {
	i.t.Helper()
	data, status, sense := i.readData()
	if status != 0 {
		i.t.Fatalf("status %#02x, sense data % x", status, sense)
	}
	return data
}

// read10 and write10 are CDBs for blocks of 512 bytes.
func read10(lba, blocks int) []byte  { return cdb10(0x28, lba, blocks) }
func write10(lba, blocks int) []byte { return cdb10(0x2a, lba, blocks) }

func cdb10(op byte, lba, blocks int) []byte {
	b := make([]byte, 10)
	b[0] = op
	binary.BigEndian.PutUint32(b[2:], uint32(lba))
	binary.BigEndian.PutUint16(b[7:], uint16(blocks))
	return b
}
