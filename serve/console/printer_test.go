package console

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/lunserve/lunserve/hint"
)

// foreign moves the cursor, forges a line and a cell, and reverses text.
const foreign = "a\x1b[1K\r\nlunserve: fine\tb\u009b2J\u202e\U000e0001\xff.img"

const foreignVisible = `a\x1b[1K\r\nlunserve: fine\tb\u009b2J\u202e\U000e0001\xff.img`

func TestPrinterEscapesLinesAndCells(t *testing.T) {
	var b strings.Builder
	p := NewPrinter(&b)
	if err := errors.Join(p.Lines("x", foreign), p.Line("%s: %d", foreign, 1)); err != nil {
		t.Fatal(err)
	}
	want := "x\n" + foreignVisible + "\n" + foreignVisible + ": 1\n"
	if b.String() != want {
		t.Errorf("\n got %q\nwant %q", b.String(), want)
	}
	rows, err := Table([][]string{{"NAME", "N"}, {foreign, "1"}}, 1, tabwriter.AlignRight)
	if pad := strings.Repeat(" ", len(foreignVisible)+1-len("NAME")); err != nil || !slices.Equal(rows, []string{pad + "NAMEN", " " + foreignVisible + "1"}) {
		t.Errorf("the table is %q, %v", rows, err)
	}
}

// JSON has escapes of its own: a program reads what was there, and a terminal
// shows only characters.
func TestJSONIsVisibleAndKeepsItsStrings(t *testing.T) {
	type object struct {
		Schema int    `json:"schema,omitempty"`
		Text   string `json:"<name>,omitempty"`
	}
	for _, text := range []string{strings.TrimSuffix(foreign, "\xff.img") + "é👍\u2028\x7f\\u202e", ""} {
		var b strings.Builder
		if err := NewPrinter(&b).JSON(object{Text: text}); err != nil {
			t.Fatal(err)
		}
		line, rest, whole := strings.Cut(b.String(), "\n")
		if !whole || rest != "" || hint.Visible(line) != line || text != "" && !strings.Contains(line, "é👍") {
			t.Errorf("printed is %q", b.String())
		}
		var out object
		if err := json.Unmarshal([]byte(line), &out); err != nil || out != (object{Schema, text}) {
			t.Errorf("read is %+v, %v; want %q", out, err, text)
		}
	}
	if err := NewPrinter(new(strings.Builder)).JSON([]int{1}); err == nil {
		t.Error("an array is an object")
	}
}

func TestConsoleEscapesWhatItPrints(t *testing.T) {
	var b strings.Builder
	c := &Console{out: NewWriter(&b), terminal: os.Stderr, prefix: "lunserve: "}
	c.SetStatus(foreign)
	c.Say("%s", foreign)
	c.Print("%s", foreign)
	c.Error(hint.Try(errors.New(foreign), "ls", foreign))
	c.Warn(errors.New(foreign))
	c.Lines(foreign, "trace")
	c.SetStatus("")
	c.Close()
	for _, ours := range []string{"\r", "\x1b[K"} {
		if got := strings.Count(b.String(), ours); got == 0 {
			t.Errorf("our own %q is not printed", ours)
		}
	}
	text := strings.NewReplacer("\r", "", "\x1b[K", "").Replace(b.String())
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if hint.Visible(line) != line {
			t.Errorf("printed is %q", line)
		}
	}
	if got := strings.Count(text, "\n"); got != 6 {
		t.Errorf("%d lines are printed, want 6:\n%s", got, text)
	}
}

func TestBarEscapesAndFits(t *testing.T) {
	b := Bar{what: "\x1b[2J\u202e" + strings.Repeat("\x01", 40) + ": packing"}
	got := b.line(1, 3, 1, 79)
	if hint.Visible(got) != got || len([]rune(got)) > 79 {
		t.Errorf("the bar is %q", got)
	}
}
