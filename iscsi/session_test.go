package iscsi_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// one serves a disk of 16 MiB.
func one(t testing.TB, o iscsi.Options) (target *iscsi.Target, portal string) {
	target, portals := serve(t, o, newDisk(newStore(t, 16<<20, false), scsi.Options{}))
	return target, portals[0]
}

// Whatever is negotiated, data arrives as it was sent.
func TestDataSurvivesEachWayToTransferIt(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	for _, digests := range []string{"None", "CRC32C"} {
		for _, initialR2T := range []string{"Yes", "No"} {
			for _, immediate := range []string{"Yes", "No"} {
				for _, length := range []string{"512", "4096", "1048576"} {
					name := fmt.Sprint(digests, initialR2T, immediate, length)
					t.Run(name, func(t *testing.T) {
						i := dial(t, portal).login("HeaderDigest="+digests, "DataDigest="+digests, "InitialR2T="+initialR2T,
							"ImmediateData="+immediate, "MaxRecvDataSegmentLength="+length, "MaxBurstLength="+length, "FirstBurstLength="+length)
						for _, blocks := range []int{1, 2, 8, 300} {
							want := randomBytes(512 * blocks)
							i.writeBlocks(want, initialR2T == "No", immediate == "Yes")
							i.command(complete|wantsData, len(want), read10(5, blocks), nil)
							if got := i.good(); !bytes.Equal(got, want) {
								t.Fatalf("%d blocks differ", blocks)
							}
						}
						i.logout()
					})
				}
			}
		}
	}
}

// writeBlocks writes blocks from LBA 5 on, with as much unsolicited data as it may.
func (i *initiator) writeBlocks(data []byte, unsolicited, immediate bool) {
	i.t.Helper()
	const part = 512
	sent := 0
	if immediate {
		sent = min(len(data), part)
	}
	first := min(len(data), part)
	flags := byte(complete)
	if unsolicited && sent < first {
		flags = 0
	}
	tag := i.command(flags|hasData, len(data), write10(5, len(data)/512), data[:sent])
	if flags == 0 {
		i.dataOut(tag, 0xffffffff, 0, sent, true, data[sent:first])
		sent = first
	}
	for sent < len(data) {
		r2t := i.read(0x31)
		off, n := int(r2t.word(40)), int(r2t.word(44))
		if off != sent || n == 0 || off+n > len(data) {
			i.t.Fatalf("R2T for %d bytes at %d, have sent %d of %d", n, off, sent, len(data))
		}
		for sn := 0; n > 0; sn++ {
			m := min(n, 1000) // not whole words
			i.dataOut(tag, r2t.word(20), sn, sent, n == m, data[sent:sent+m])
			sent, n = sent+m, n-m
		}
	}
	i.good()
}

func (i *initiator) logout() {
	i.t.Helper()
	var p pdu
	p.header[0], p.header[1] = 0x46, complete
	p.set(24, i.cmdSN)
	i.write(p)
	if a := i.read(0x26); a.header[2] != 0 {
		i.t.Errorf("logout: response %d", a.header[2])
	}
	i.isDisconnected()
}

func TestWrongDataFailsTheCommandAndNotTheSession(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login("ImmediateData=No", "DataDigest=CRC32C")
	for _, tt := range []struct {
		name          string
		sn, off, more int
		damaged       bool
		code          byte
	}{
		{"DataSN", 1, 0, 0, false, 0x0c},
		{"offset", 0, 512, 0, false, 0x0c},
		{"too much", 0, 0, 512, false, 0x0c},
		{"too little", 0, 0, -4, false, 0x0c},
		{"digest", 0, 0, 0, true, 0x47},
	} {
		tag := i.command(complete|hasData, 1024, write10(0, 2), nil)
		r2t := i.read(0x31)
		data := bytes.Repeat([]byte{0xee}, 1024+tt.more)
		if tt.damaged {
			i.dataDigest = false
			i.dataOut(tag, r2t.word(20), tt.sn, tt.off, true, data)
			i.conn.Write([]byte{1, 2, 3, 4})
			i.dataDigest = true
			if p := i.read(0x3f); p.header[2] != 2 {
				t.Errorf("%s: Reject with reason %d", tt.name, p.header[2])
			}
		} else {
			i.dataOut(tag, r2t.word(20), tt.sn, tt.off, true, data)
		}
		_, status, sense := i.readData()
		if status != 2 || len(sense) < 14 || sense[2] != 0x0b || sense[12] != tt.code {
			t.Errorf("%s: status %#02x, sense data % x", tt.name, status, sense)
		}
	}
	i.command(complete|wantsData, 1024, read10(0, 2), nil)
	if got := i.good(); !bytes.Equal(got, make([]byte, 1024)) {
		t.Error("some of it was written")
	}
}

func TestAdditionalHeaderExtendsTheCDB(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login("HeaderDigest=CRC32C")
	var p pdu
	p.header[0], p.header[1] = 0x01, complete
	p.header[32] = 0x7f // a command of variable length, which no disk has
	p.set(24, i.cmdSN)
	i.cmdSN++
	i.write(p, append([]byte{0, 17, 1, 0}, make([]byte, 16)...)...)
	if _, status, sense := i.readData(); status != 2 || sense[12] != 0x20 {
		t.Errorf("status %#02x, sense data % x", status, sense)
	}
	p.set(24, i.cmdSN)
	i.write(p, 0xff, 0xff, 1, 0) // longer than it is
	i.isDisconnected()
}

func TestPingIsEchoed(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login()
	var p pdu
	p.header[0], p.header[1] = 0x40, complete
	p.set(16, 5)
	p.set(20, 0xffffffff)
	p.set(24, i.cmdSN)
	p.data = []byte("hello")
	i.write(p)
	if a := i.read(0x20); string(a.data) != "hello" || a.word(16) != 5 || a.word(20) != 0xffffffff {
		t.Errorf("% x %q", a.header, a.data)
	}
}

func TestUnknownPDUIsRejected(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login()
	for _, tt := range []struct{ op, reason byte }{{0x10, 3}, {0x1c, 5}} {
		var p pdu
		p.header[0], p.header[1] = 0x40|tt.op, complete
		p.set(24, i.cmdSN)
		i.write(p)
		if a := i.read(0x3f); a.header[2] != tt.reason || !bytes.Equal(a.data[:3], []byte{0x40 | tt.op, complete, 0}) {
			t.Errorf("PDU %#02x: reason %d, data % x", tt.op, a.header[2], a.data)
		}
	}
	i.command(complete, 0, make([]byte, 6), nil)
	i.good()
}

// An initiator whose connection was lost logs in again, and takes over.
func TestLoginReplacesTheSessionOfTheSamePort(t *testing.T) {
	target, portal := one(t, iscsi.Options{})
	first := dial(t, portal).login()
	other := dial(t, portal)
	other.isid = 2
	other.login()
	second := dial(t, portal).login()
	first.isDisconnected()
	for _, i := range []*initiator{second, other} {
		i.command(complete, 0, make([]byte, 6), nil)
		i.good()
	}
	if got := target.Initiators(); !slices.Equal(got, []string{initiatorName}) {
		t.Errorf("logged in: %q", got)
	}
	second.logout()
	other.logout()
	if got := target.Initiators(); got != nil {
		t.Errorf("logged in after the logout: %q", got)
	}
}

func TestTargetHasAllLogicalUnits(t *testing.T) {
	var disks []*scsi.Disk
	for n := range 3 {
		disks = append(disks, newDisk(newStore(t, int64(n+1)<<20, false), scsi.Options{}))
	}
	_, portals := serve(t, iscsi.Options{}, disks...)
	i := dial(t, portals[0]).login()
	i.command(complete|wantsData, 64, []byte{0: 0xa0, 9: 64, 11: 0}, nil)
	if got := i.good(); len(got) != 32 || got[3] != 24 || got[9] != 0 || got[17] != 1 || got[25] != 2 {
		t.Errorf("REPORT LUNS: % x", got)
	}
	for lun := range byte(4) {
		var p pdu
		p.header[0], p.header[1], p.header[9] = 0x01, complete|wantsData, lun
		p.set(20, 8)
		p.set(24, i.cmdSN)
		i.cmdSN++
		p.header[32] = 0x25
		i.write(p)
		data, status, sense := i.readData()
		switch {
		case lun < 3 && (status != 0 || int(data[2])<<8+int(data[3])+1 != 2048*int(lun+1)):
			t.Errorf("LUN %d: status %#02x, capacity % x", lun, status, data)
		case lun == 3 && (status != 2 || sense[12] != 0x25):
			t.Errorf("LUN %d: status %#02x, sense data % x", lun, status, sense)
		}
	}
}

// The window lets as many commands in as have completed.
func TestWindowMovesAsCommandsComplete(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login("ImmediateData=No", "InitialR2T=Yes")
	var last pdu
	for range 128 {
		i.command(complete|hasData, 512, write10(0, 1), nil)
		last = i.read(0x31)
	}
	if exp, most := last.word(28), last.word(32); most != exp-1 {
		t.Errorf("ExpCmdSN %d, MaxCmdSN %d: the window is not closed", exp, most)
	}
	i.command(complete, 0, make([]byte, 6), nil) // outside: it is ignored
	i.dataOut(last.word(16), last.word(20), 0, 0, true, make([]byte, 512))
	if a := i.read(0x21); a.word(16) != last.word(16) || a.word(32) != a.word(28) {
		t.Errorf("% x", a.header)
	}
}

func TestDiscoveryTellsTheTarget(t *testing.T) {
	_, portal := one(t, iscsi.Options{CHAP: &iscsi.CHAP{User: "u", Secret: "123456789012"}})
	i := dial(t, portal)
	if a := i.loginRequest(1, 3, "InitiatorName="+initiatorName, "SessionType=Discovery", "MaxBurstLength=1024"); a.loginStatus() != 0 ||
		a.keys()["MaxBurstLength"] != "Irrelevant" {
		t.Fatalf("% x %q", a.header, a.data)
	}
	var p pdu
	p.header[0], p.header[1] = 0x44, complete
	p.set(20, 0xffffffff)
	p.set(24, i.cmdSN)
	p.data = text("SendTargets=All")
	i.write(p)
	if a := i.read(0x24); !bytes.HasPrefix(a.data, text("TargetName="+targetName, "TargetAddress="+portal+",1")) {
		t.Errorf("%q", a.data)
	}
	i.command(complete, 0, make([]byte, 6), nil)
	i.isDisconnected()
}

func TestConnectionsAreLimited(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	for range 32 {
		dial(t, portal)
	}
	dial(t, portal).isDisconnected()
}
