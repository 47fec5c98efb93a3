package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// said is what a program printed.
type said struct {
	t    *testing.T
	who  string
	text string
}

// says runs a program that must succeed.
func says(t *testing.T, name string, args ...string) said {
	t.Helper()
	return said{t, name + " " + strings.Join(args, " "), run(t, name, args...)}
}

// has fails the test if the text does not match.
func (s said) has(pattern string, a ...any) said {
	s.t.Helper()
	if p := fmt.Sprintf(pattern, a...); !regexp.MustCompile(p).MatchString(s.text) {
		s.t.Errorf("%s: no %q:\n%s", s.who, p, s.text)
	}
	return s
}

// lacks fails the test if the text matches.
func (s said) lacks(pattern string) said {
	s.t.Helper()
	if regexp.MustCompile(pattern).MatchString(s.text) {
		s.t.Errorf("%s: %q:\n%s", s.who, pattern, s.text)
	}
	return s
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
