package control

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A socket stays if anybody listens, or if its process exists. Other files stay.
func TestSweepRemovesTheSocketsOfTheDead(t *testing.T) {
	dir := t.TempDir()
	listen := func(name string, close bool) {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if close {
			l.Close()
		} else {
			t.Cleanup(func() { l.Close() })
		}
	}
	listen("1.sock", true)  // it was killed
	listen("2.sock", false) // of a process in another PID namespace
	listen("3.sock", true)  // its process is about to listen
	listen("x.sock", true)
	listen("4.other", true)
	if err := os.WriteFile(filepath.Join(dir, "5.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sweep(dir, func(pid int) bool { return pid == 3 })
	sweep(filepath.Join(dir, "none"), nil)
	var left []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"2.sock", "3.sock", "4.other", "5.sock", "x.sock"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}
