package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// An output is what a program printed.
type output struct {
	t       *testing.T
	command string
	text    string
}

// says runs a program that must succeed, and returns its output.
func says(t *testing.T, name string, args ...string) output {
	t.Helper()
	return output{t, name + " " + strings.Join(args, " "), run(t, name, args...)}
}

// has fails the test unless the text matches.
func (o output) has(pattern string, a ...any) output {
	o.t.Helper()
	if p := fmt.Sprintf(pattern, a...); !regexp.MustCompile(p).MatchString(o.text) {
		o.t.Errorf("%s: no %q:\n%s", o.command, p, o.text)
	}
	return o
}

// lacks fails the test if the text matches.
func (o output) lacks(pattern string) output {
	o.t.Helper()
	if regexp.MustCompile(pattern).MatchString(o.text) {
		o.t.Errorf("%s: %q:\n%s", o.command, pattern, o.text)
	}
	return o
}

// flag returns a flag as sg3_utils print it.
func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
