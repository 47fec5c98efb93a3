package fault

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// A SyntaxError is the error of a text that is no rule. A hint of it is a better text.
type SyntaxError struct {
	Text   string
	At     int // the byte at which the wrong word begins; the length of Text if one is missing
	reason string
}

func (e *SyntaxError) Error() string { return e.reason }

// Examples are rules, one for each action: what shells propose.
var Examples = []string{
	"read lba 1000+8: medium", "read 1%: medium", "write 1%: medium", "unmap: unsupported", "any every 100: aborted",
	"any every 100: transport", "any once: ua", "any every 100: busy", "any every 100: task-set-full", "write: reservation",
	"flush: lost", "write after 500: lost", "write once: torn 1", "read 1%: flip", "read: delay 20ms..200ms", "any: hang 45s",
}

// A parser reads the words of a rule.
type parser struct {
	text  string
	words []word
	rule  Rule
}

// A word is a part of the text without blanks. A colon is a word.
type word struct {
	text string
	at   int
}

// Parse reads a rule.
func Parse(text string) (Rule, error) {
	p := &parser{text: text, words: split(text)}
	if err := p.command(); err != nil {
		return Rule{}, err
	}
	for {
		w := p.next()
		if w.text == ":" {
			break
		}
		if err := p.condition(w); err != nil {
			return Rule{}, err
		}
	}
	if err := p.action(); err != nil {
		return Rule{}, err
	}
	if len(p.words) > 0 {
		return Rule{}, p.fail(p.words[0], "%q: nothing may follow here", p.words[0].text)
	}
	return p.rule, nil
}

func split(text string) (words []word) {
	for at := 0; at < len(text); {
		n := strings.IndexAny(text[at:], " \t:")
		switch {
		case n < 0:
			n = len(text) - at
		case n == 0 && text[at] == ':':
			n = 1
		case n == 0:
			at++
			continue
		}
		words = append(words, word{text[at : at+n], at})
		at += n
	}
	return words
}

// next takes the next word, or one without text behind the last.
func (p *parser) next() (w word) {
	if len(p.words) == 0 {
		return word{"", len(p.text)}
	}
	w, p.words = p.words[0], p.words[1:]
	return w
}

// fail returns the error of a word.
func (p *parser) fail(w word, format string, a ...any) error {
	return &SyntaxError{p.text, w.at, fmt.Sprintf(format, a...)}
}

// choose returns the value of a word in a table. If it is not there, the error
// proposes the text with a word that is.
func choose[T any](p *parser, w word, table []named[T], more ...string) (T, error) {
	for _, n := range table {
		if n.name == w.text {
			return n.value, nil
		}
	}
	all := append(names(table), more...)
	var none T
	if w.text == "" || w.text == ":" {
		return none, p.fail(w, "a word is missing: one of %s", strings.Join(all, ", "))
	}
	err := p.fail(w, "%q is not one of %s", w.text, strings.Join(all, ", "))
	for _, near := range hint.Near(w.text, all) {
		err = hint.Try(err, p.text[:w.at]+near+p.text[w.at+len(w.text):])
	}
	return none, err
}

func (p *parser) command() (err error) {
	p.rule.Command, err = choose(p, p.next(), commands)
	return err
}

// conditions are the words of conditions, and what they do to the rule.
var conditions = []named[func(p *parser) error]{
	{"lba", (*parser).lba},
	{"every", func(p *parser) error { return p.number(&p.rule.Every) }},
	{"after", func(p *parser) error { return p.number(&p.rule.After) }},
	{"once", func(p *parser) error {
		p.rule.Once = true
		return nil
	}},
}

func (p *parser) condition(w word) error {
	if number, ok := strings.CutSuffix(w.text, "%"); ok {
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return p.fail(w, "%q is not above 0 and at most 100 percent", w.text)
		}
		p.rule.Percent = percent
		return nil
	}
	if w.text == "" {
		return p.fail(w, "an action is missing, such as : medium")
	}
	set, err := choose(p, w, conditions, "1%")
	if err != nil {
		return err
	}
	return set(p)
}

// number reads a number above 0.
func (p *parser) number(n *uint64) (err error) {
	w := p.next()
	if *n, err = strconv.ParseUint(w.text, 10, 64); err != nil || *n == 0 {
		return p.fail(w, "%q is not a number from 1 on", w.text)
	}
	return nil
}

// lba reads areas.
func (p *parser) lba() error {
	w := p.next()
	for at := w.at; ; {
		text, _, more := strings.Cut(p.text[at:w.at+len(w.text)], ",")
		a, ok := parseArea(text)
		switch {
		case !ok:
			return p.fail(word{text, at}, "%q is not a block, or an area such as 1000+8", text)
		case len(p.rule.Areas) == maxAreas:
			return p.fail(word{text, at}, "more than %d areas", maxAreas)
		}
		p.rule.Areas = append(p.rule.Areas, a)
		if !more {
			break
		}
		at += len(text) + 1
	}
	p.rule.Areas = join(p.rule.Areas)
	if p.rule.Command == Flush {
		return p.fail(w, "a flush is of all blocks")
	}
	return nil
}

func parseArea(text string) (a Area, ok bool) {
	first, blocks, many := strings.Cut(text, "+")
	a.First, ok = parseNumber(first)
	n := uint64(1)
	if ok && many {
		n, ok = parseNumber(blocks)
	}
	a.End = a.First + n
	return a, ok && n > 0 && a.End > a.First && a.End <= math.MaxInt64
}

// parseNumber reads decimal and hexadecimal digits.
func parseNumber(text string) (n uint64, ok bool) {
	digits, base := text, 10
	if hex, is := strings.CutPrefix(text, "0x"); is {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 63)
	return n, err == nil
}

// takers are the commands by name that an action is for.
func (a Action) takers() (all []string) {
	for _, c := range commands {
		if c.value != Any && c.value&a.suits() != 0 {
			all = append(all, c.name)
		}
	}
	return all
}

func (p *parser) action() (err error) {
	r := &p.rule
	w := p.next()
	if r.Action, err = choose(p, w, actions); err != nil {
		return err
	}
	if all := r.Action.takers(); r.Command&r.Action.suits() == 0 {
		return p.fail(w, "%s is for %s, not for %s", w.text, strings.Join(all, ", "), nameOf(commands, r.Command))
	}
	switch {
	case r.Action == Torn:
		return p.number(&r.Blocks)
	case r.Action == Delay:
		return p.times()
	case r.Action == Hang && len(p.words) > 0:
		r.Max, err = p.time(p.next())
		r.Min = r.Max
	}
	return err
}

// times reads a time, or a range of times.
func (p *parser) times() (err error) {
	r := &p.rule
	w := p.next()
	from, to, isRange := strings.Cut(w.text, "..")
	if r.Min, err = p.time(word{from, w.at}); err != nil {
		return err
	}
	if r.Max = r.Min; isRange {
		r.Max, err = p.time(word{to, w.at + len(from) + len("..")})
	}
	if err == nil && r.Max < r.Min {
		return p.fail(w, "%q ends before it begins", w.text)
	}
	return err
}

// time reads a time above 0.
func (p *parser) time(w word) (time.Duration, error) {
	d, err := time.ParseDuration(w.text)
	if err == nil && d > 0 {
		return d, nil
	}
	err = p.fail(w, "%q is not a time, such as 20ms or 45s", w.text)
	if d, wrong := time.ParseDuration(w.text + "s"); wrong == nil && d > 0 {
		err = hint.Try(err, p.text[:w.at]+w.text+"s"+p.text[w.at+len(w.text):])
	}
	return 0, err
}
