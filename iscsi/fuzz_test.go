package iscsi

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0x01, 0x80, 0, 0, 0, 0, 0, 5, 47: 0, 48: 'h', 49: 'e', 50: 'l', 51: 'l', 55: 0}, false, 0)
	f.Add(append([]byte{0x01, 0x80, 0, 0, 1, 0, 0, 0, 47: 0}, 0, 5, 1, 0, 1, 2, 3, 4), true, 7)
	f.Fuzz(func(t *testing.T, in []byte, digests bool, room int) {
		var clock atomic.Int64
		r := newReceiver(bytes.NewReader(in), &clock, func() error { return nil })
		r.headerDigest, r.dataDigest = digests, digests
		var h header
		for {
			ahs, err := r.header(&h)
			if err != nil {
				return
			}
			cdb, _ := extendedCDB(make([]byte, 0, maxCDB), &h, ahs)
			if len(cdb) > maxCDB {
				t.Fatalf("CDB of %d bytes", len(cdb))
			}
			n := h.dataBytes()
			if n <= maxSmall && room%2 == 0 {
				data, err := r.small()
				if err == nil && len(data) != n {
					t.Fatalf("%d bytes, want %d", len(data), n)
				}
			} else {
				err = r.into([][]byte{make([]byte, max(room, 0)%512), nil, make([]byte, 512)})
			}
			if err != nil {
				return
			}
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add([]byte("InitiatorName=a\x00MaxBurstLength=0x200\x00HeaderDigest=CRC32C,None\x00"), true)
	f.Add([]byte("=\x00\x00a=b=c"), false)
	f.Fuzz(func(t *testing.T, in []byte, discovery bool) {
		pairs, err := parseText(in)
		if err != nil {
			return
		}
		p := defaults()
		p.discovery = discovery
		for _, kv := range pairs {
			answer, err := p.negotiate(kv.key, kv.value)
			if err == nil && len(appendPair(nil, kv.key, answer)) > maxKey+maxValue+2 {
				t.Fatal("long answer")
			}
			parseBinary(kv.value)
		}
		if p.maxSend < minLength && p.maxSend != 0 || p.maxBurst > maxBurst || p.firstBurst > maxFirstBurst {
			t.Fatalf("%+v", p)
		}
	})
}

// A fakeDevice executes commands by the first byte of the CDB: reads, writes, waits.
type fakeDevice struct{}

func (fakeDevice) Attach(string) Nexus { return fakeNexus{} }

type fakeNexus struct{}

func (fakeNexus) Transfer(_ uint64, cdb []byte, expected int64) (out bool, room int64) {
	return cdb[0]&1 != 0, min(expected, int64(binary.BigEndian.Uint32(cdb[2:])))
}

func (fakeNexus) Execute(_ uint64, cdb []byte, data [][]byte, wait bool) (Result, error) {
	if later := (fakeNexus{}).Judge(0, cdb, data); later != nil && !wait {
		return Result{}, later
	}
	if cdb[0]&2 != 0 && !wait {
		return Result{}, ErrWouldBlock
	}
	for _, b := range data {
		if cdb[0]&1 == 0 {
			clear(b)
		}
	}
	r := Result{Length: int32(binary.BigEndian.Uint32(cdb[2:]) & 0xffffff)}
	if cdb[0]&4 != 0 {
		r = Result{Status: checkCondition, Sense: make([]byte, 18)}
	}
	return r, nil
}

func (n fakeNexus) Judge(_ uint64, cdb []byte, _ [][]byte) *Later {
	if cdb[0]&8 == 0 {
		return nil
	}
	return &Later{After: time.Hour, Execute: func(cdb []byte, data [][]byte) Result {
		r, _ := n.Execute(0, cdb, data, true)
		return r
	}}
}

func (fakeNexus) Executed(uint64, []byte, [][]byte, Result, time.Duration) {}
func (fakeNexus) Manage(_ Function, lun uint64) bool                       { return lun == 0 }
func (fakeNexus) Close()                                                   {}

// FuzzConversation sends PDUs to a session. Each begins with its length, so that most
// are well formed, and gets the next command number. The target must not panic or hang.
func FuzzConversation(f *testing.F) {
	login := append([]byte{0x43, 0x87, 13: 1, 47: 0}, "InitiatorName=i\x00TargetName=t\x00ImmediateData=Yes\x00InitialR2T=No\x00"...)
	add := func(pdus ...[]byte) {
		var in []byte
		for _, p := range pdus {
			in = append(binary.BigEndian.AppendUint16(in, uint16(len(p))), p...)
		}
		f.Add(in)
	}
	command := func(flags byte, expected byte, op byte, data ...byte) []byte {
		return append([]byte{0: 1, 1: flags, 19: 1, 23: expected, 32: op, 37: expected, 47: 0}, data...)
	}
	add(login, command(0xc0, 64, 0), command(0xa0, 4, 1, 1, 2, 3, 4), command(0x20, 8, 3), []byte{0: 5, 1: 0x80, 19: 1, 20: 0xff, 21: 0xff, 22: 0xff, 23: 0xff, 47: 0, 55: 8})
	add(login, command(0xa0, 200, 1), []byte{0: 5, 1: 0x80, 19: 1, 23: 1, 47: 0, 247: 8}, []byte{0: 0x42, 1: 0x82, 47: 0}, []byte{0: 0x46, 1: 0x80, 47: 0})
	add(login, []byte{0: 0x40, 1: 0x80, 47: 0, 51: 1}, []byte{0: 0x44, 1: 0x80, 20: 0xff, 21: 0xff, 22: 0xff, 23: 0xff, 47: 0, 48: 'S'}, []byte{0: 0x10, 47: 0})
	add(login, command(0xc0, 64, 8), command(0xa0, 4, 9, 1, 2, 3, 4), []byte{0: 0x42, 1: 0x82, 47: 0}, command(0xc0, 64, 8), []byte{0: 0x46, 1: 0x80, 47: 0})
	add(login, command(0xc0, 64, 10), command(0x20, 8, 11), []byte{0: 0x42, 1: 0x85, 47: 0}, command(0xc0, 64, 8))
	f.Fuzz(func(t *testing.T, in []byte) {
		target := New(Options{Name: "t", Device: fakeDevice{}})
		ours, theirs := net.Pipe()
		target.ServeConn(theirs)
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, ours)
		}()
		sn := uint32(0)
		for len(in) >= 2 {
			n := int(binary.BigEndian.Uint16(in))
			p := bytes.Clone(in[2:][:min(n, len(in)-2)])
			in = in[2+len(p):]
			if len(p) >= 48 {
				h := (*header)(p)
				h.setDataBytes(max(len(p)-48-h.ahsBytes(), 0))
				if op := h.op(); op != opDataOut && op != opSNACK {
					h.setWord(24, sn)
					if !h.immediate() {
						sn++
					}
				}
			}
			ours.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if _, err := ours.Write(append(p, make([]byte, padding(len(p)))...)); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Fatal("the target does not read")
				}
				break
			}
		}
		ours.Close()
		<-read
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
}
