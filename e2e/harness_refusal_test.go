package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// refused expects lunserve to exit with status 1, print nothing on stdout, want
// as the last line on stderr, and leave nothing behind.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	refusedAs(t, regexp.QuoteMeta(want), exec.Command(binary, args...))
}

// misused is refused for a usage error: exit status 2.
func misused(t *testing.T, want string, args ...string) {
	t.Helper()
	endsWith(t, 2, regexp.QuoteMeta(want), exec.Command(binary, args...))
}

// refusedAs is refused with a pattern, for a command that becomes lunserve.
func refusedAs(t *testing.T, want string, cmd *exec.Cmd) {
	t.Helper()
	endsWith(t, 1, want, cmd)
}

func endsWith(t *testing.T, want int, pattern string, cmd *exec.Cmd) {
	t.Helper()
	before := traces(t)
	s := launch(t, cmd)
	if status := s.wait(); status != want {
		t.Errorf("%v: exit status %d, want %d", cmd.Args, status, want)
	}
	lines := strings.Split(strings.TrimSpace(s.stderr.String()), "\n")
	if last := lines[len(lines)-1]; !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(last) {
		t.Errorf("%v:\nsaid %s\nwant %s", cmd.Args, last, pattern)
	}
	sameTraces(t, before)
}
