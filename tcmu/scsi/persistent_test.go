package scsi

import (
	"fmt"
	"strings"
	"testing"
)

// out sends PERSISTENT RESERVE OUT.
func (n *Nexus) out(t testing.TB, want string, service, kind int, key, action uint64) {
	t.Helper()
	n.want(t, want, fmt.Sprintf("5f %02x %02x 0000 00000018 00", service, kind), fmt.Sprintf("%016x %016x 0000000000000000", key, action))
}

// keys returns the registered keys, and the type and the key of the reservation.
func (n *Nexus) keys(t testing.TB) string {
	t.Helper()
	keys, _ := n.send(t, "5e 00 0000000000 0100 00")
	text := ""
	for k := keys[8:]; len(k) >= 8; k = k[8:] {
		text += fmt.Sprintf("%x ", k[7])
	}
	held, _ := n.send(t, "5e 01 0000000000 0100 00")
	if len(held) == 24 {
		text += fmt.Sprintf("type %d key %x", held[21], held[15])
	}
	return strings.TrimSpace(text)
}

func TestPersistentReservationTypes(t *testing.T) {
	const flush, startUnit = "35 00 00000000 00 0000 00", "1b 00 00 00 01 00"
	commands := []struct {
		cdb, out  string
		exclusive [2]string // of an initiator that is not admitted: exclusive access, write exclusive
	}{
		{readOne, "", [2]string{"conflict", ""}},
		{writeOne, block, [2]string{"conflict", "conflict"}},
		{flush, "", [2]string{"conflict", "conflict"}},
		{modeSelect, modeWCEAgain, [2]string{"conflict", "conflict"}},
		{"1a 00 3f 00 ff 00", "", [2]string{"conflict", ""}},
		{"2f 00 00000000 00 0001 00", "", [2]string{"conflict", ""}},
		{startUnit, "", [2]string{"", ""}},
		{"1b 00 00 00 00 00", "", [2]string{"conflict", "conflict"}},
		{isReady, "", [2]string{"", ""}},
		{"25 00 00000000 00 0000 00", "", [2]string{"", ""}},
		{"12 00 0000 24 00", "", [2]string{"", ""}},
		{"a3 0c 00 00 0000 00000004 00 00", "", [2]string{"", ""}},
	}
	for _, tt := range []struct {
		kind            int
		writes, members bool // only writes conflict; registrants are admitted
	}{{1, true, false}, {3, false, false}, {5, true, true}, {6, false, true}, {7, true, true}, {8, false, true}} {
		_, _, n := direct("thin", 3) // holder, registered, stranger
		n[0].out(t, "", prRegister, 0, 0, 0xa)
		n[1].out(t, "", prRegister, 0, 0, 0xb)
		n[0].out(t, "", prReserve, tt.kind, 0xa, 0)
		for i, initiator := range n {
			for _, c := range commands {
				want := c.exclusive[0]
				if tt.writes {
					want = c.exclusive[1]
				}
				if i == 0 || i == 1 && tt.members {
					want = ""
				}
				initiator.send(t, askSense) // MODE SELECT informs others
				if c.out == "" {
					initiator.want(t, want, c.cdb)
				} else {
					initiator.want(t, want, c.cdb, c.out)
				}
				n[0].send(t, startUnit)
			}
		}
		if t.Failed() {
			t.Fatalf("type %d", tt.kind)
		}
	}
}

func TestPersistentReservationsLifeCycle(t *testing.T) {
	_, target, n := direct("thin", 3)
	state := func(want string) {
		t.Helper()
		if got := n[2].keys(t); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	n[0].out(t, "conflict", prReserve, 1, 0, 0)      // not registered
	n[0].out(t, "conflict", prRegister, 0, 0xa, 0xa) // no such key
	n[0].out(t, "", prRegister, 0, 0, 0)             // nothing
	n[0].out(t, "", prRegister, 0, 0, 0xa)
	n[1].out(t, "", prRegisterAndIgnore, 0, 0x99, 0xb)
	state("a b")
	n[0].out(t, "conflict", prRegister, 0, 0xb, 0xc) // the key of another
	n[0].out(t, "", prRegister, 0, 0xa, 0xc)         // a new one
	state("c b")
	n[0].out(t, "5/24/00 cdb 2", prReserve, 2, 0xc, 0) // no such type
	n[0].out(t, "5/24/00 cdb 2", prReserve, 0x11, 0xc, 0)
	n[0].out(t, "", prReserve, 5, 0xc, 0)
	n[0].out(t, "", prReserve, 5, 0xc, 0)         // again
	n[0].out(t, "conflict", prReserve, 1, 0xc, 0) // another type
	n[1].out(t, "conflict", prReserve, 5, 0xb, 0)
	state("c b type 5 key c")
	n[1].out(t, "", prRelease, 5, 0xb, 0) // not the holder: no effect
	n[0].out(t, "5/26/04", prRelease, 1, 0xc, 0)
	n[0].out(t, "", prRelease, 5, 0xc, 0)
	n[1].want(t, "6/2a/04", isReady)
	state("c b")

	// Preempting takes the reservation of the holder.
	n[0].out(t, "", prReserve, 1, 0xc, 0)
	n[1].out(t, "5/26/00 list 8", prPreempt, 3, 0xb, 0)
	n[1].out(t, "conflict", prPreempt, 3, 0xb, 0x77)
	n[1].out(t, "", prPreempt, 3, 0xb, 0xc)
	state("b type 3 key b")
	n[0].want(t, "6/2a/05", isReady)

	// All registrants hold one of type 7 or 8, until the last has gone.
	n[1].out(t, "", prRelease, 3, 0xb, 0)
	n[0].out(t, "", prRegister, 0, 0, 0xa)
	n[0].out(t, "", prReserve, 8, 0xa, 0)
	n[1].out(t, "", prReserve, 8, 0xb, 0)
	state("b a type 8 key 0")
	n[1].out(t, "", prRegister, 0, 0xb, 0)
	n[1].want(t, "conflict", readOne) // it holds no more than its registration
	state("a type 8 key 0")
	n[0].out(t, "", prRegister, 0, 0xa, 0)
	state("")

	// CLEAR removes all, and informs the others.
	n[0].out(t, "", prRegister, 0, 0, 0xa)
	n[1].out(t, "", prRegister, 0, 0, 0xb)
	n[0].out(t, "", prReserve, 6, 0xa, 0)
	n[1].out(t, "", prClear, 0, 0xb, 0)
	n[0].want(t, "6/2a/03", isReady)
	state("")

	// A registration outlives its session, and belongs to the port.
	n[0].out(t, "", prRegister, 0, 0, 0xa)
	n[0].out(t, "", prReserve, 3, 0xa, 0)
	port := n[0].units[0].port
	n[0].Close()
	n[1].want(t, "conflict", readOne)
	again := target.Attach(port)
	again.want(t, "", readOne)
	again.out(t, "", prRegister, 0, 0xa, 0)
	n[1].want(t, "", readOne)
}

// The initiator that made a reservation of all registrants is one of them.
func TestOwnerOfAllRegistrantsCanBeFenced(t *testing.T) {
	for _, kind := range []int{7, 8} {
		_, _, n := direct("thin", 2)
		n[0].out(t, "", prRegister, 0, 0, 0xa)
		n[1].out(t, "", prRegister, 0, 0, 0xb)
		n[0].out(t, "", prReserve, kind, 0xa, 0)
		n[1].out(t, "", prPreempt, kind, 0xb, 0xa)
		n[0].want(t, "conflict", writeOne, block)
		n[0].want(t, "6/2a/05", isReady)
		n[0].out(t, "conflict", prRelease, kind, 0xa, 0)
		n[0].out(t, "", prRegister, 0, 0, 0xa)
		n[0].want(t, "", writeOne, block)
		n[0].out(t, "", prRegister, 0, 0xa, 0)
		n[0].want(t, "conflict", writeOne, block)
		n[1].want(t, "", writeOne, block)
	}
}

// RESERVE and RELEASE change nothing on a unit with registrations.
func TestReserveBesidePersistentReservations(t *testing.T) {
	for kind, registrant := range map[int]string{0: "conflict", 1: "conflict", 3: "conflict", 5: "", 6: "", 7: "", 8: ""} {
		_, _, n := direct("thin", 3) // holder, registered, stranger
		n[0].out(t, "", prRegister, 0, 0, 0xa)
		n[1].out(t, "", prRegister, 0, 0, 0xb)
		holder := "conflict"
		if kind != 0 {
			n[0].out(t, "", prReserve, kind, 0xa, 0)
			holder = ""
		}
		for i, want := range []string{holder, registrant, "conflict"} {
			n[i].want(t, want, reserveUnit)
			n[i].want(t, want, releaseUnit)
		}
	}
}

func TestFullStatusNamesThePorts(t *testing.T) {
	_, _, n := direct("thin", 2)
	n[0].out(t, "", prRegister, 0, 0, 0xa)
	n[1].out(t, "", prRegister, 0, 0, 0xb)
	n[1].out(t, "", prReserve, 1, 0xb, 0)
	b, _ := n[0].send(t, "5e 03 0000000000 1000 00")
	const port = "iqn.2001-04.com.example:1,i,0x000000000001"
	length := (len(port) + 4) &^ 3
	want := fmt.Sprintf("000000000000000b 00000000 01 01 00000000 0001 %08x 4500 %04x %x %s",
		4+length, length, port, strings.Repeat("00", length-len(port)))
	if got := string(b[len(b)-24-4-length:]); got != string(unhex(want)) {
		t.Errorf("got  % x\nwant % x", got, unhex(want))
	}
}

func TestRegistrationsAreBounded(t *testing.T) {
	_, target, _ := direct("thin", 0)
	for i := range maxRegistrations + 1 {
		n := target.Attach(fmt.Sprint("port ", i))
		want := ""
		if i == maxRegistrations {
			want = "5/55/04"
		}
		n.out(t, want, prRegister, 0, 0, 1)
		n.Close()
	}
}

func TestListsOfPersistentReserveOutAreChecked(t *testing.T) {
	_, _, n := direct("thin", 1)
	key := "0000000000000000 0000000000000001 00000000"
	n[0].want(t, "5/1a/00", "5f 00 00 0000 00000017 00", key+"00000000")
	n[0].want(t, "5/1a/00", "5f 00 00 0000 00000018 00", key)
	n[0].want(t, "5/26/00 list 20", "5f 00 00 0000 00000018 00", key+"01000000") // APTPL
	n[0].want(t, "5/26/00 list 20", "5f 00 00 0000 00000018 00", key+"08000000") // SPEC_I_PT
	n[0].want(t, "5/24/00 cdb 1.4", "5f 07 00 0000 00000018 00", key+"00000000") // REGISTER AND MOVE
	n[0].want(t, "", "5f 00 00 0000 00000018 00", key+"04000000")                // ALL_TG_PT
}
