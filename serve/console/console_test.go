package console

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

func TestLinesStandAboveTheStatusLine(t *testing.T) {
	var out strings.Builder
	c := &Console{out: NewWriter(&out), terminal: os.Stderr, prefix: "lunserve: "}
	c.SetStatus("12 reads")
	c.SetStatus("13 reads")
	c.Print("hello")
	c.Lines("trace")
	c.SetStatus("")
	c.Print("bye")
	c.Close()
	want := "\r12 reads\x1b[K" +
		"\r13 reads\x1b[K" +
		"\r\x1b[K\rlunserve: hello\n\r13 reads\x1b[K" +
		"\r\x1b[K\rtrace\n\r13 reads\x1b[K" +
		"\r\x1b[K\r" +
		"lunserve: bye\n"
	if got := out.String(); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// The caret is below the byte as it is printed.
func TestPointPointsAtWhatIsPrinted(t *testing.T) {
	var out strings.Builder
	c := New(&out, "lunserve")
	c.Point("read", 0)
	c.Point("a\x1bé\xff wrong", 6)
	c.Point("read", 4)
	c.Close()
	want := "lunserve:   read\nlunserve:   ^\n" +
		"lunserve:   a\\x1bé\\xff wrong\nlunserve:              ^\n" +
		"lunserve:   read\nlunserve:       ^\n"
	if got := out.String(); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestQuietSuppressesOnlyWhatIsSaid(t *testing.T) {
	var out strings.Builder
	var hooked []string
	c := New(&out, "lunserve")
	c.SetQuiet(true)
	c.OnWarning(func(text string) { hooked = append(hooked, text) })
	c.SetStatus("a status line") // not on a terminal
	c.Say("said")
	c.Print("printed")
	c.Warn(hint.Try(errors.New("odd"), "dmesg"))
	c.Error(errors.New("bad"))
	c.Close()
	if got, want := out.String(), "lunserve: printed\nlunserve: warning: odd; try dmesg\nlunserve: bad\n"; got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if len(hooked) != 1 || hooked[0] != "odd; try dmesg" {
		t.Errorf("the hook was passed %q", hooked)
	}
}
