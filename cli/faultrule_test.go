package cli

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A FIFO would keep the guard waiting, which reads the map again, and so the disks.
func TestMapIsARegularFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "map")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r := faultRule{file: fifo}
	if _, err := r.read(512); err == nil {
		t.Error("a FIFO is read")
	}
}
