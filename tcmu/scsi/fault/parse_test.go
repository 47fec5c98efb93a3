package fault

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/hint"
)

func TestRulesSayWhatTheyMean(t *testing.T) {
	for text, want := range map[string]string{
		"read lba 1000+8: medium":                      "",
		"read lba 1000 : medium":                       "read lba 1000+1: medium",
		"read lba 0x10+0x8,3+1,4: medium":              "read lba 3+2,16+8: medium",
		"any  lba 10+10,15+10\t:busy":                  "any lba 10+15: busy",
		"read lba 1,3,5,7,9: medium":                   "read lba 1+1,3+1,5+1,7+1,9+1: medium",
		"write once 2.5% every 3 after 2: torn 1":      "write after 2 every 3 2.5% once: torn 1",
		"read: delay 20ms..200ms":                      "",
		"any: delay 1s":                                "",
		"any: hang":                                    "",
		"any: hang 90s":                                "any: hang 1m30s",
		"flush:lost":                                   "flush: lost",
		"read lba 9223372036854775806: medium":         "read lba 9223372036854775806+1: medium",
		"unmap lba 1000000000000+1000000: unsupported": "",
	} {
		r, err := Parse(text)
		if want == "" {
			want = text
		}
		if err != nil || r.Text() != want {
			t.Errorf("%s: %q, %v, want %q", text, r.Text(), err, want)
		}
	}
	r, err := Parse("read lba 1,3,5,7,9: medium")
	if want := "read lba 1+1,3+1,5+1,7+1,… (5 areas): medium"; err != nil || r.String() != want {
		t.Errorf("for people: %q, %v, want %q", r, err, want)
	}
	if r, err = Parse("write: delay 1ms..2s"); err != nil || r.Min != time.Millisecond || r.Max != 2*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestExamplesAreRules(t *testing.T) {
	left := names(actions)
	for _, text := range Examples {
		r, err := Parse(text)
		if err != nil || r.Text() != text {
			t.Errorf("%s: %q, %v", text, r.Text(), err)
		}
		for i, name := range left {
			if name == nameOf(actions, r.Action) {
				left[i] = ""
			}
		}
	}
	if rest := strings.Join(left, ""); rest != "" {
		t.Errorf("no example has %s", rest)
	}
}

// The caret is where the second string is in the first; if it is empty, at the end.
func TestErrorsPointAtTheWrongWord(t *testing.T) {
	const allActions = "medium, unsupported, aborted, transport, ua, busy, task-set-full, reservation, lost, torn, flip, delay, hang"
	for _, tt := range []struct{ text, at, want string }{
		{"", "", "a word is missing: one of read, write, unmap, flush, any"},
		{": medium", ":", "a word is missing: one of read, write, unmap, flush, any"},
		{"raed: medium", "raed", `"raed" is not one of read, write, unmap, flush, any; did you mean ` + "'read: medium'?"},
		{"reads: medium", "reads", `"reads" is not one of read, write, unmap, flush, any; did you mean ` + "'read: medium'?"},
		{"read", "", "an action is missing, such as : medium"},
		{"read lba", "", `"" is not a block, or an area such as 1000+8`},
		{"read lba 5+: medium", "5+", `"5+" is not a block, or an area such as 1000+8`},
		{"read lba 5+0: medium", "5+0", `"5+0" is not a block, or an area such as 1000+8`},
		{"read lba 1+2,x,3: medium", "x", `"x" is not a block, or an area such as 1000+8`},
		{"read lba 5,: medium", ":", `"" is not a block, or an area such as 1000+8`},
		{"read lba -1: medium", "-1", `"-1" is not a block, or an area such as 1000+8`},
		{"read lba 1+9223372036854775807: medium", "1+9", `"1+9223372036854775807" is not a block, or an area such as 1000+8`},
		{"flush lba 5: lost", "5", "a flush is of all blocks"},
		{"read 0%: medium", "0%", `"0%" is not above 0 and at most 100 percent`},
		{"read NaN%: medium", "NaN%", `"NaN%" is not above 0 and at most 100 percent`},
		{"read every 0: medium", "0", `"0" is not a number from 1 on`},
		{"read evry 5: medium", "evry", `"evry" is not one of lba, every, after, once, 1%; did you mean 'read every 5: medium'?`},
		{"read 5: medium", "5", `"5" is not one of lba, every, after, once, 1%`},
		{"read:", "", "a word is missing: one of " + allActions},
		{"read: medum", "medum", `"medum" is not one of ` + allActions + "; did you mean 'read: medium'?"},
		{"read: lost", "lost", "lost is for write, unmap, flush, not for read"},
		{"flush: flip", "flip", "flip is for read, write, not for flush"},
		{"write: torn", "", `"" is not a number from 1 on`},
		{"read: delay", "", `"" is not a time, such as 20ms or 45s`},
		{"read: delay 20", "20", `"20" is not a time, such as 20ms or 45s; did you mean 'read: delay 20s'?`},
		{"read: delay 20ms..", "", `"" is not a time, such as 20ms or 45s`},
		{"read: delay 2s..1s", "2s", `"2s..1s" ends before it begins`},
		{"any: hang -5s", "-5s", `"-5s" is not a time, such as 20ms or 45s`},
		{"read: medium now", "now", `"now": nothing may follow here`},
		{"read: medium: medium", ": medium", `":": nothing may follow here`},
	} {
		_, err := Parse(tt.text)
		e, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		at := len(tt.text)
		if tt.at != "" {
			at = strings.Index(tt.text, tt.at)
		}
		if tt.at == ": medium" {
			at = strings.LastIndex(tt.text, tt.at)
		}
		if got := strings.ReplaceAll(hint.Text(err), "; try ", "; did you mean "); e.At != at || e.Text != tt.text || strings.TrimSuffix(got, "?") != strings.TrimSuffix(tt.want, "?") {
			t.Errorf("%q: at %d, %q\nwant at %d, %q", tt.text, e.At, got, at, tt.want)
		}
	}
}

// What Parse accepts, it reads again from its text.
func FuzzParse(f *testing.F) {
	for _, text := range Examples {
		f.Add(text)
	}
	for _, text := range []string{"read lba 0x10+8,5,9+2 after 3 every 2 0.001% once: torn 5", "any:hang", ": :", "read lba 1,2,\x00: é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			if e, ok := errors.AsType[*SyntaxError](err); !ok || e.At < 0 || e.At > len(text) || hint.Text(err) == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		again, err := Parse(r.Text())
		if err != nil || again.Text() != r.Text() || r.String() == "" {
			t.Errorf("%q: %q, then %q, %v", text, r.Text(), again.Text(), err)
		}
		judge(NewSet(1), r)
	})
}

// judge judges some commands by one rule.
func judge(s *Set, r Rule) {
	_ = s.Add(r)
	for lba := range uint64(20) {
		all := []Area{{lba, lba + 8}}
		s.Wrote(all)
		v := s.Judge(Access{Does: Read | Write, Areas: all})
		if v.Action == Flip {
			v.Flips(all[0], 4096, func(lba, bit uint64) {
				if lba < all[0].First || lba >= all[0].End || bit >= 4096 {
					panic(r.Text())
				}
			})
		}
		s.Judge(Access{})
	}
}
