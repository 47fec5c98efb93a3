package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// install installs the lunserve under test in a folder bin of dir, as a package
// manager does: it replaces the file. Others have it open.
func install(t *testing.T, dir string) (program string) {
	t.Helper()
	text, err := os.ReadFile(binary)
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "bin"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return replace(t, filepath.Join(dir, "bin", "lunserve"), text, 0o755)
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

// A fake is a program that says that it is a lunserve. It is this program, with the
// fake as JSON behind its end, for a confined server cannot execute a script.
type fake struct {
	Version string // it prints
	Err     string // it prints on standard error, and fails
	Gate    string // a socket; it waits for the end of a connection to it
}

const fakeMark = "\nfake lunserve: "

// install replaces a program by the fake.
func (f fake) install(t *testing.T, program string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, program, append(append(text, fakeMark...), data...), 0o755)
}

// playFake ends this program if it is a fake: it can print a version, and nothing
// else.
func playFake() {
	if filepath.Base(os.Args[0]) != "lunserve" {
		return
	}
	text, _ := os.ReadFile(os.Args[0])
	var f fake
	if _, data, is := strings.Cut(string(text[max(0, len(text)-4096):]), fakeMark); !is || json.Unmarshal([]byte(data), &f) != nil {
		return
	}
	if len(os.Args) < 2 || os.Args[1] != "--version" {
		os.Exit(3)
	}
	fmt.Println(f.Version)
	fmt.Fprint(os.Stderr, f.Err)
	if f.Gate != "" {
		if c, err := net.Dial("unix", f.Gate); err == nil {
			io.Copy(io.Discard, c)
		}
	}
	if f.Err != "" {
		os.Exit(3)
	}
	os.Exit(0)
}

// version returns what the lunserve under test says to one that would execute it.
func version(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(binary, "--version")
	cmd.Env = append(os.Environ(), "LUNSERVE_ASK_SCHEMA=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
