package scsi

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// The server is killed after COMPARE AND WRITE has written, or half of it, and
// before the initiator has the status. The next server gets the command again.
func TestCompareAndWriteIsRepeatedAfterAKill(t *testing.T) {
	cdb := func() []byte { return unhex("89 00 0000000000000005 000000 04 00 00") }
	const miss = "e/1d/00 info 0"
	for _, tt := range []struct {
		name  string
		then  func(u *unit, out []byte) // what else happens before the next server
		other bool                      // the next command is another one
		want  string
	}{
		{name: "written"},
		{name: "half written", then: func(u *unit, out []byte) { copy(u.bytes[7*512:9*512], out[1024:2048]) }},
		{name: "not written", then: func(u *unit, out []byte) { copy(u.bytes[5*512:], out[:2048]) }},
		{name: "settled", want: miss},
		{name: "overwritten meanwhile", then: func(u *unit, out []byte) { u.bytes[8*512] ^= 1 }, want: miss},
		{name: "another command", other: true, want: miss},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("thin", 512)
			o := u.Options
			o.Memory = make([]byte, 56)
			u.Disk = NewDisk(u.store, o)
			out := append(slices.Clone(u.bytes[5*512:9*512]), randomBytes(2048)...)
			sent := cdb()
			if _, why := execute(t, u.Disk, sent, out); why != "" {
				t.Fatal(why)
			}
			if tt.name == "settled" {
				u.Settled(cdb()) // another command's
				u.Settled(sent)
			} else if tt.then != nil {
				tt.then(u, out)
			}

			u.Disk = NewDisk(u.store, o)
			again := slices.Clone(out)
			if tt.other {
				again[4095]++
			}
			before := slices.Clone(u.bytes)
			_, why := execute(t, u.Disk, cdb(), again)
			if why != tt.want {
				t.Errorf("sense data %q, want %q", why, tt.want)
			}
			if why == "" && !bytes.Equal(u.bytes[5*512:9*512], out[2048:]) {
				t.Error("the blocks are not written")
			}
			if why != "" && !bytes.Equal(u.bytes, before) {
				t.Error("miscompared and written")
			}
			if tt.want != "" {
				return
			}
			// Only once: the initiator may mean it as another command.
			next := cdb()
			u.Settled(next)
			if _, why := execute(t, u.Disk, next, again); why != miss {
				t.Errorf("a second time: sense data %q", why)
			}
		})
	}
}

// The next COMPARE AND WRITE waits until the initiator has the status of the one
// before: there is memory for one note.
func TestCompareAndWriteWaitsForTheOneBefore(t *testing.T) {
	u := newUnit("thin", 512)
	o := u.Options
	o.Memory = make([]byte, 56)
	d := NewDisk(u.store, o)
	out := append(slices.Clone(u.bytes[5*512:6*512]), randomBytes(512)...)
	first, second := unhex("89 00 0000000000000005 000000 01 00 00"), unhex("89 00 0000000000000005 000000 01 00 00")
	execute(t, d, first, out)
	done := make(chan string)
	go func() {
		_, why := execute(t, d, second, append(slices.Clone(out[512:]), out[:512]...))
		done <- why
	}()
	d.Settled(unhex("89 00 0000000000000005 000000 01 00 00")) // of another command: nothing happens
	select {
	case why := <-done:
		t.Errorf("did not wait: %q", why)
	case <-time.After(20 * time.Millisecond):
	}
	d.Settled(first)
	if why := <-done; why != "" {
		t.Error(why)
	}
	d.Settled(second)
}

// A server is killed before a command that was sent again has come. By then none is
// pending. The next one must know it nevertheless.
func TestNoteOutlivesAServerThatWasKilledEarly(t *testing.T) {
	for _, tt := range []struct {
		pending []bool // at each recovery
		want    string
	}{
		{[]bool{true}, ""},
		{[]bool{true, false}, ""},
		{[]bool{true, false, false}, ""},
		{[]bool{false}, "e/1d/00 info 0"}, // it was completed
	} {
		u := newUnit("thin", 512)
		o := u.Options
		o.Memory = make([]byte, 56)
		u.Disk = NewDisk(u.store, o)
		cdb := func() []byte { return unhex("89 00 0000000000000005 000000 01 00 00") }
		out := append(slices.Clone(u.bytes[5*512:6*512]), randomBytes(512)...)
		if _, why := execute(t, u.Disk, cdb(), out); why != "" {
			t.Fatal(why)
		}
		for _, pending := range tt.pending {
			Recovered(o.Memory, pending)
			u.Disk = NewDisk(u.store, o)
		}
		again := cdb()
		if _, why := execute(t, u.Disk, again, out); why != tt.want {
			t.Errorf("%v: sense data %q, want %q", tt.pending, why, tt.want)
		}
		if tt.want != "" {
			continue
		}
		u.Settled(again)
		Recovered(o.Memory, false)
		u.Disk = NewDisk(u.store, o)
		if _, why := execute(t, u.Disk, cdb(), out); why == "" {
			t.Errorf("%v: the note is heeded twice", tt.pending)
		}
	}
	Recovered(nil, true) // of a kernel without room for it
}
