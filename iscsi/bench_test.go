package iscsi

import (
	"io"
	"net"
	"testing"
)

// A player is an initiator at the other end of a connection in memory, and sends the
// same PDU again and again.
type player struct {
	net.Conn
	pdu     []byte
	sn      uint32
	left    int
	sent    int
	answers int64
}

func (p *player) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if p.sent == 0 {
		(*header)(p.pdu).setWord(24, p.sn)
	}
	n := copy(b, p.pdu[p.sent:])
	if p.sent += n; p.sent == len(p.pdu) {
		p.sent, p.sn, p.left = 0, p.sn+1, p.left-1
	}
	return n, nil
}

func (p *player) Write(b []byte) (int, error) {
	p.answers += int64(len(b))
	return len(b), nil
}

func (p *player) Close() error { return nil }

// play returns a session whose initiator sends a command, and the player.
func play(flags byte, expected uint32, cdb byte, data int) (*conn, *player) {
	var h header
	h[0], h[1] = opCommand, flags
	h.setDataBytes(data)
	h.setWord(20, expected)
	h[32] = cdb
	h.setWord(34, expected)
	p := &player{pdu: append(h[:], make([]byte, data)...)}
	t := &Target{}
	c := newConn(t, p)
	c.nexus, c.params.maxSend, c.window = fakeNexus{}, maxDataSegment, newWindow(0)
	return c, p
}

// hot are the commands that must not allocate, by the CDB of fakeNexus.
var hot = []struct {
	name     string
	flags    byte
	expected uint32
	cdb      byte
	data     int
}{
	{"read 4 KiB", final | reads, 4096, 0, 0},
	{"write 4 KiB", final | writes, 4096, 1, 4096},
	{"read 4 KiB that waits", final | reads, 4096, 2, 0},
	{"write 4 KiB that waits", final | writes, 4096, 3, 4096},
	{"read 128 KiB", final | reads, 128 << 10, 0, 0},
}

func TestCommandsDoNotAllocate(t *testing.T) {
	for _, x := range hot {
		c, p := play(x.flags, x.expected, x.cdb, x.data)
		const commands = 100
		run := func() {
			p.left = commands
			if err := c.serve(); err != io.EOF {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.awaitActive(func(*task) bool { return true })
			c.mu.Unlock()
		}
		run()
		// Workers start as they are needed, and a garbage collection drops unused
		// blocks: that is less than one in ten commands.
		if n := testing.AllocsPerRun(20, run); n > commands/10 && !race {
			t.Errorf("%s: %v allocations for %d commands", x.name, n, commands)
		}
		c.end()
	}
}

func BenchmarkCommand(b *testing.B) {
	for _, x := range hot {
		b.Run(x.name, func(b *testing.B) {
			c, p := play(x.flags, x.expected, x.cdb, x.data)
			defer c.end()
			b.ReportAllocs()
			b.SetBytes(int64(x.expected))
			for n := b.N; n > 0; {
				p.left = min(n, 64)
				n -= p.left
				if err := c.serve(); err != io.EOF {
					b.Fatal(err)
				}
				c.mu.Lock()
				c.awaitActive(func(*task) bool { return true })
				c.mu.Unlock()
			}
		})
	}
}
