package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// install installs the lunserve under test in a folder, as a package manager does:
// it replaces the file. Others have it open.
func install(t *testing.T, dir string) (program string) {
	t.Helper()
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return replace(t, filepath.Join(dir, "lunserve"), text, 0o755)
}

func replace(t *testing.T, path string, text []byte, mode os.FileMode) string {
	t.Helper()
	err := os.WriteFile(path+".new", text, mode)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// upgrade has the server execute its program for the nth time, and returns what it
// says.
func (s *server) upgrade(n int) string {
	s.t.Helper()
	s.signal(syscall.SIGUSR2)
	const line = `upgraded to lunserve[^\n]*; (commands waited [^\n]*)\n`
	said := s.stderr.await(s.t, fmt.Sprintf(`(?s)^(?:.*?%s){%d}`, line, n))
	return said[1]
}
