package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// newSet returns a set with these rules.
func newSet(t testing.TB, rules ...string) *Set {
	t.Helper()
	s := NewSet(5)
	for _, text := range rules {
		r, err := Parse(text)
		if err == nil {
			err = s.Add(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func at(does Command, lba, n uint64) Access {
	return Access{Does: does, Areas: []Area{{lba, lba + n}}, Transfers: does == Read || does == Write}
}

// actionsOf returns the actions for n reads of block 0, a letter each.
func actionsOf(s *Set, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(nameOf(actions, s.Judge(at(Read, 0, 1)).Action)[:1])
	}
	return b.String()
}

func TestConditions(t *testing.T) {
	for text, want := range map[string]string{
		"read: medium":                 "mmmmmmmmmm",
		"write: medium":                "??????????",
		"any: busy":                    "bbbbbbbbbb",
		"read every 3: medium":         "??m??m??m?",
		"read after 4: medium":         "???mmmmmmm",
		"read after 4 every 3: medium": "?????m??m?",
		"read once: medium":            "m?????????",
		"read after 5 once: medium":    "????m?????",
		"read every 4 once: medium":    "???m??????",
		"read lba 1+5: medium":         "??????????",
		"read lba 0+5: medium":         "mmmmmmmmmm",
		"read 100%: medium":            "mmmmmmmmmm",
	} {
		if got := actionsOf(newSet(t, text), 10); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	s := newSet(t, "read every 2: busy", "any after 2: aborted", "read: medium")
	if got := actionsOf(s, 6); got != "mbabab" {
		t.Error(got)
	}
	rules, fired := s.Counts()
	if fired != 6 || rules[0].Fired != 3 || rules[1].Fired != 2 || rules[2].Fired != 1 {
		t.Errorf("%+v, %d", rules, fired)
	}
}

func TestARunRepeatsWithItsSeed(t *testing.T) {
	run := func(seed uint64) string {
		s := NewSet(seed)
		for _, text := range []string{"read 20%: medium", "read 30%: busy"} {
			r, _ := Parse(text)
			_ = s.Add(r)
		}
		return actionsOf(s, 1000)
	}
	first := run(7)
	if again := run(7); again != first {
		t.Error("it does not")
	}
	if other := run(8); other == first {
		t.Error("so does one with another seed")
	}
	if m, b := strings.Count(first, "m"), strings.Count(first, "b"); m < 150 || m > 250 || b < 190 || b > 290 {
		t.Errorf("%d of 1000 are 20 %%, %d are 30 %% of the rest", m, b)
	}
}

func TestRulesApplyOnlyToCommandsTheirActionIsFor(t *testing.T) {
	for text, want := range map[string]string{ // of a read, write, unmap, flush, another command and COMPARE AND WRITE
		"any: medium":     "mmmm?m",
		"any: lost":       "?lll?l",
		"any: torn 1":     "?t????",
		"any: torn 2":     "??????", // nothing would be left out
		"any: flip":       "ff????",
		"any: busy":       "bbbbbb",
		"any lba 5: busy": "bbb??b",
	} {
		s, got := newSet(t, text), ""
		for _, does := range []Command{Read, Write, Unmap, Flush, 0, Read | Write} {
			a := at(does, 5, 2)
			if does == Flush || does == 0 {
				a.Areas = nil
			}
			got += nameOf(actions, s.Judge(a).Action)[:1]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// As on a disk, which then reallocates the sector.
func TestBlocksAreBadUntilTheyAreWritten(t *testing.T) {
	s := newSet(t, "read lba 1000+8: medium")
	for _, x := range []struct {
		access Access
		bad    int // the LBA, or -1
	}{
		{at(Read, 990, 10), -1},
		{at(Read, 990, 11), 1000},
		{at(Read, 1007, 100), 1007},
		{at(Read, 1008, 1), -1},
		{at(Write, 1000, 3), -1},
		{at(Read, 990, 20), 1003},
		{at(Read, 1000, 3), -1},
		{at(Write, 1005, 1), -1},
		{at(Read, 1005, 1), -1},
		{at(Read, 1004, 3), 1004},
		{at(Read, 1005, 3), 1006},
		{at(Write, 900, 200), -1},
		{at(Read, 900, 200), -1},
	} {
		v := s.Judge(x.access)
		if bad := v.Action == Medium; bad != (x.bad >= 0) || bad && v.LBA != uint64(x.bad) {
			t.Errorf("%+v: %+v, want %d", x.access, v, x.bad)
		}
		if x.access.Does == Write {
			s.Wrote(x.access.Areas)
		}
	}
}

func TestHeldCommandsAreLetGo(t *testing.T) {
	s := newSet(t, "read: hang", "write: delay 5ms..10ms", "flush: hang 2s", "unmap: lost")
	v := s.Judge(at(Read, 0, 1))
	if v.After < 24*time.Hour {
		t.Errorf("%v", v.After)
	}
	if v := s.Judge(Access{Does: Flush}); v.After != 2*time.Second {
		t.Errorf("%v", v.After)
	}
	for range 100 {
		if v := s.Judge(at(Write, 0, 1)); v.After < 5*time.Millisecond || v.After > 10*time.Millisecond {
			t.Errorf("%v", v.After)
		}
	}
	s.Calm()
	<-v.Release
	if got := s.Judge(at(Read, 0, 1)).Action; got != None {
		t.Errorf("action %d after Calm", got)
	}
	if got := s.Judge(at(Unmap, 0, 1)).Action; got != Lost {
		t.Errorf("action %d after Calm, want that of the rule", got)
	}
	if rules, fired := s.Counts(); len(rules) != 4 || rules[0].Fired != 1 || fired != 103 {
		t.Errorf("%+v, %d", rules, fired)
	}
}

func TestAnotherSetGoesOn(t *testing.T) {
	s := newSet(t, "read lba 10+10: medium", "read once: busy", "write lba 5: lost", "write after 3: lost", "read lba 500: medium", "flush after 9: lost")
	s.Judge(at(Read, 10, 1))
	s.Wrote([]Area{{12, 15}, {500, 501}})
	s.Judge(at(Read, 0, 1))
	s.Judge(at(Write, 0, 1))
	s.Judge(at(Write, 0, 1))
	var rest []string
	for _, r := range s.Rest() {
		rest = append(rest, r.Text())
	}
	want := []string{"read lba 10+2,15+5: medium", "write lba 5+1: lost", "write after 1: lost", "flush after 9: lost"}
	if !slices.Equal(rest, want) {
		t.Errorf("%q, want %q", rest, want)
	}
}

// With the same seed the same happens, also after the rules were cleared.
func TestClearBeginsAnew(t *testing.T) {
	s := NewSet(7)
	draw := func() (all string) {
		r, err := Parse("any 50%: busy")
		if err := errors.Join(err, s.Add(r)); err != nil {
			t.Fatal(err)
		}
		for range 64 {
			all += fmt.Sprint(s.Judge(Access{Does: Read}).Action)
		}
		s.Clear()
		return all
	}
	if first, second := draw(), draw(); first != second {
		t.Errorf("%s, then %s", first, second)
	}
}

func TestSetIsBounded(t *testing.T) {
	s := newSet(t)
	if err := s.Add(make([]Rule, maxRules)...); err != nil {
		t.Error(err)
	}
	if err := s.Add(Rule{}); err == nil {
		t.Error("one more is accepted")
	}
	s.Clear()
	if err := s.Add(Rule{}); err != nil {
		t.Error(err)
	}
}

// A bitmap is right about areas.
func TestAreas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const size = 64
		var has [size]bool
		var all []Area
		random := func() Area {
			first := r.Uint64N(size - 1)
			return Area{first, first + 1 + r.Uint64N(min(12, size-first-1)+1)}
		}
		set := func(a Area, to bool) {
			for i := a.First; i < min(a.End, size); i++ {
				has[i] = to
			}
		}
		for range r.IntN(6) {
			a := random()
			all = append(all, a)
			set(a, true)
		}
		s := join(all)
		for range 8 {
			a := random()
			want := slices.Index(has[a.First:min(a.End, size)], true)
			lba, found := s.first(a)
			if found != (want >= 0) || found && lba != a.First+uint64(want) {
				t.Fatalf("first of %v in %v: %d, %v", a, s, lba, found)
			}
			a = random()
			s = s.without(a)
			set(a, false)
		}
	}
}

func TestAreasAreBounded(t *testing.T) {
	var s areas
	for i := range uint64(maxAreas) {
		s = append(s, Area{i * 10, i*10 + 5})
	}
	s = s.without(Area{1, 2})
	if len(s) != maxAreas || s[0] != (Area{2, 5}) {
		t.Errorf("%d areas, the first %v", len(s), s[0])
	}
	s = s.without(Area{14, 15})
	s = s.without(Area{23, 24})
	if len(s) != maxAreas || s[2] != (Area{20, 23}) {
		t.Errorf("%d areas, the third %v", len(s), s[2])
	}
}

// The areas of all rules of a disk together have a limit.
func TestAreasOfADiskAreLimited(t *testing.T) {
	many := Rule{Command: Read, Action: Medium, Areas: make([]Area, maxAllAreas/2+1)}
	s := NewSet(1)
	if err := s.Add(many); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Add(many); err == nil || err.Error() != "the rules of a disk have at most 65536 areas" {
			t.Errorf("%v", err)
		}
	}
	if rules, _ := s.Counts(); len(rules) != 1 {
		t.Errorf("%d rules", len(rules))
	}
	if err := NewSet(1).Add(many, many); err == nil {
		t.Error("two at once are added")
	}
}

// The bit is the same however the block is read.
func TestFlippedBitsStay(t *testing.T) {
	s := newSet(t, "read lba 5000+2: flip")
	bits := map[uint64]uint64{}
	for _, a := range []Access{at(Read, 5000, 1), at(Read, 4990, 12), at(Read, 5001, 100)} {
		v := s.Judge(a)
		if v.Action != Flip {
			t.Fatalf("%+v", v)
		}
		v.Flips(a.Areas[0], 4096, func(lba, bit uint64) {
			if was, ok := bits[lba]; bit >= 4096 || ok && was != bit {
				t.Errorf("block %d: bit %d, was %d", lba, bit, was)
			}
			bits[lba] = bit
		})
	}
	if len(bits) != 2 || bits[5000] == bits[5001] {
		t.Errorf("%v", bits)
	}
	s = newSet(t, "read: flip")
	a := at(Read, 10, 8)
	n := 0
	s.Judge(a).Flips(a.Areas[0], 4096, func(lba, _ uint64) {
		if n++; lba < 10 || lba >= 18 {
			t.Errorf("block %d", lba)
		}
	})
	if n != 1 {
		t.Errorf("%d blocks", n)
	}
}
