package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// help is what lunserve prints with these arguments, which ask for it.
func help(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("COLUMNS", "80")
	var b strings.Builder
	exited := false
	o := append(options(t.Context()), kong.Writers(&b, &b), kong.Exit(func(int) { exited = true }))
	if _, err := parse(new(cli), args, o...); !exited {
		t.Fatalf("lunserve %s: no help: %v", strings.Join(args, " "), err)
	}
	return b.String()
}

func TestHelpFitsAScreen(t *testing.T) {
	text := help(t, "--help")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 24 || len(lines) > 40 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if n := strings.Count(text, "\n  lunserve "); n != 4 {
		t.Errorf("%d examples", n)
	}
	for _, c := range grammar(t).Leaves(true) {
		if !strings.Contains(text, "\n  "+c.Name+" ") {
			t.Errorf("%s is not listed", c.Name)
		}
	}
}

// Each flag is in the help of each subcommand that has it.
func TestHelpNamesEveryFlag(t *testing.T) {
	for _, c := range grammar(t).Leaves(true) {
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
