package cli

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/serve/console"
)

// help returns the help text that these arguments request.
func help(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("COLUMNS", "80")
	var b strings.Builder
	exited := false
	o := append(options(t.Context(), console.New(io.Discard, "lunserve")), kong.Writers(&b, &b), kong.Exit(func(int) { exited = true }))
	if _, err := parse(new(grammar), args, o...); !exited {
		t.Fatalf("lunserve %s: no help: %v", strings.Join(args, " "), err)
	}
	return b.String()
}

func TestHelpFitsATerminal(t *testing.T) {
	text := help(t, "--help")
	if lines := strings.Count(text, "\n"); lines > 24 {
		t.Errorf("%d lines", lines)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, c := range model(t).Leaves(true) {
		if !strings.Contains(text, " "+c.Name) {
			t.Errorf("%s is not listed", c.Name)
		}
	}
	for _, more := range []string{"lunserve serve --help", "lunserve man"} {
		if !strings.Contains(text, more) {
			t.Errorf("%s is not named", more)
		}
	}
}

func TestHelpNamesEveryFlagOfItsSubcommand(t *testing.T) {
	for _, c := range model(t).Leaves(true) {
		text := help(t, c.Name, "--help")
		for _, group := range c.AllFlags(true) {
			for _, f := range group {
				if !strings.Contains(text, " --"+f.Name) {
					t.Errorf("lunserve %s --help does not name --%s", c.Name, f.Name)
				}
			}
		}
	}
}
