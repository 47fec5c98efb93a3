package e2e

import (
	"bytes"
	enc "encoding/binary"
	goflag "flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var (
	atRandom = goflag.Duration("random", 5*time.Second, "how long to send commands at random")
	seed     = goflag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of all that is done at random")
)

// Two initiators take turns. Each command must be completed. Afterwards the disk
// must work, and lunserve must end.
//
// They take turns because two PREEMPTs at the same time lock up Linux 6.1 with
// any backstore: core_scsi3_pro_preempt holds a lock while it waits for
// commands that need it.
func TestCommandsAtRandom(t *testing.T) {
	needTarget(t)
	s := start(t, "--loopback", "--iscsi", newImage(t, tmpfsDir(t), 8<<20))
	remote := newInitiator(t).node(itsName, s.line())
	disks := []string{s.disks[0], remote.login()}
	t.Logf("seed %d", *seed)

	r := random{Rand: rand.New(rand.NewPCG(*seed, 0))}
	var nodes []*os.File
	for _, disk := range disks {
		f, err := os.OpenFile(generic(t, disk), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		nodes = append(nodes, f)
	}
	answers := make(map[uint8]int)
	for end := time.Now().Add(*atRandom); time.Now().Before(end); {
		n := r.IntN(len(disks))
		r.local = n == 0
		c := r.command()
		if err := c.sendTo(nodes[n]); err != nil {
			t.Fatalf("%s: % x, %d bytes in, out % x: %v", disks[n], c.cdb, len(c.in), c.out, err)
		}
		answers[c.status]++
	}
	t.Logf("number of commands by status: %v", answers)

	// Clear reservations, and start the disk: the commands may have left either.
	run(t, "sg_reset", "--device", generic(t, disks[0]))
	for _, disk := range disks {
		try(t, "sg_turs", disk) // takes the unit attention
		run(t, "sg_persist", "--no-inquiry", "--out", "--register-ignore", "--param-alltgpt", "--param-sark=1", generic(t, disk))
	}
	run(t, "sg_persist", "--no-inquiry", "--out", "--clear", "--param-rk=1", generic(t, disks[0]))
	for i, disk := range disks {
		try(t, "sg_turs", disk)
		run(t, "sg_start", disk)
		write(t, disk, 0, noise(4<<20, byte(i)))
		holds(t, disk, 0, noise(4<<20, byte(i)))
	}
	remote.logout()
	s.ends()
}

// A random makes commands, most of them nearly valid.
type random struct {
	*rand.Rand
	local bool // the initiator is this machine
}

func (r random) command() *command {
	switch r.IntN(10) {
	case 0:
		return r.anything()
	case 1:
		const unmap = 0x42
		return r.list([]byte{unmap, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 7, 2, r.ranges())
	case 2:
		const modeSelect, pf = 0x55, 0x10
		return r.list([]byte{modeSelect, pf, 0, 0, 0, 0, 0, 0, 0, 0}, 7, 2, r.pages())
	case 3:
		const reserveIn = 0x5e
		c := &command{cdb: []byte{reserveIn, byte(r.IntN(5)), 0, 0, 0, 0, 0, 0, 0, 0}, in: make([]byte, r.IntN(300))}
		enc.BigEndian.PutUint16(c.cdb[7:], uint16(len(c.in)))
		return c
	case 4: // RELEASE and START, without which most commands would soon fail
		const release, startStop = 0x17, 0x1b
		if r.IntN(2) == 0 {
			return &command{cdb: []byte{release, 0, 0, 0, 0, 0}}
		}
		return &command{cdb: []byte{startStop, 0, 0, 0, 1, 0}}
	}
	return r.reservation()
}

// anything returns a command with any operation code that lunserve executes,
// with or without data. It makes none of the commands that the kernel executes
// itself: the kernel's iSCSI target closes the connection if their data is
// malformed.
func (r random) anything() *command {
	c := &command{cdb: r.bytes(6 + r.IntN(11))}
	for bytes.IndexByte([]byte{0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f, 0xa0}, c.cdb[0]) >= 0 {
		c.cdb[0] = byte(r.Uint32())
	}
	for i := range c.cdb[1:] {
		if r.IntN(4) > 0 {
			c.cdb[i+1] = 0
		}
	}
	switch r.IntN(3) {
	case 0:
		c.in = make([]byte, r.IntN(4096))
	case 1:
		c.out = r.bytes(r.IntN(4096))
	}
	return c
}

// list returns a command with a parameter list, whose length is in the size bytes
// of the CDB from at on. One in four is malformed.
func (r random) list(cdb []byte, at, size int, list []byte) *command {
	if r.IntN(4) == 0 {
		switch r.IntN(3) {
		case 0:
			list = append(list, r.bytes(1+r.IntN(64))...)
		case 1:
			list = list[:r.IntN(len(list))]
		case 2:
			list[r.IntN(len(list))] = byte(r.Uint32())
		}
	}
	for i := range size {
		cdb[at+i] = byte(len(list) >> (8 * (size - 1 - i)))
	}
	return &command{cdb: cdb, out: list}
}

// ranges returns the parameter list of an UNMAP.
func (r random) ranges() []byte {
	list := make([]byte, 8+16*r.IntN(4))
	enc.BigEndian.PutUint16(list, uint16(len(list)-2))
	enc.BigEndian.PutUint16(list[2:], uint16(len(list)-8))
	for d := list[8:]; len(d) > 0; d = d[16:] {
		enc.BigEndian.PutUint64(d, uint64(r.IntN(16<<10)))
		enc.BigEndian.PutUint32(d[8:], uint32(r.IntN(64)))
	}
	return list
}

// pages returns the parameter list of a MODE SELECT: a header and a caching page.
func (r random) pages() []byte {
	list := make([]byte, 8+20)
	list[8], list[9], list[10] = 0x08, 0x12, byte(r.IntN(2)<<2)
	return list
}

// reservation returns a PERSISTENT RESERVE OUT. Linux executes those itself, and
// some crash Linux 6.1 with any backstore; reservation makes none of them.
func (r random) reservation() *command {
	const (
		reserveOut      = 0x5f
		preempt         = 4
		preemptAndAbort = 5
		registerAndMove = 7
		specIPt         = 1 << 3
	)
	action := byte(r.IntN(9))
	if r.local && action == preemptAndAbort {
		action = preempt // it would wait for the queue that it is on: core_tmr_drain_state_list
	}
	list := make([]byte, 24)
	list[7], list[15] = byte(r.IntN(3)), byte(r.IntN(3)) // keys, some of which are right
	if action == registerAndMove {
		id := r.transportID()
		list[17] = byte(r.IntN(4)) // UNREG, APTPL
		list[19] = byte(r.IntN(4)) // RELATIVE TARGET PORT IDENTIFIER
		enc.BigEndian.PutUint32(list[20:], uint32(len(id)))
		list = append(list, id...)
	} else {
		list[20] = byte(r.Uint32()) // ALL_TG_PT, APTPL
	}
	c := r.list([]byte{reserveOut, action, byte(r.IntN(10)), 0, 0, 0, 0, 0, 0, 0}, 5, 4, list)
	if action != registerAndMove && len(c.out) > 20 {
		c.out[20] &^= specIPt // an error in it would leak a reference: core_scsi3_decode_spec_i_port
	}
	return c
}

// transportID returns the name of an initiator that does not exist. Moving the
// reservation to an existing one would drop a reference twice
// (core_scsi3_emulate_pro_register_and_move).
func (r random) transportID() []byte {
	const iscsi, sas = 5, 6
	if r.IntN(2) == 0 {
		id := r.bytes(24)
		id[0] = sas
		return id
	}
	id := make([]byte, 4+4*(5+r.IntN(20)))
	id[0] = iscsi | byte(r.IntN(2)<<6) // with and without the initiator's session
	enc.BigEndian.PutUint16(id[2:], uint16(len(id)-4))
	copy(id[4:], "iqn.2026-11.example:nobody"[:r.IntN(27)])
	if r.IntN(2) == 0 {
		copy(id[14:], ",i,0x00023d000001")
	}
	return id
}

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
