package cli

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Other files are still added, or printed, when the server has detached one already.
func TestClientKeepsNoLocksOfAnImageThatWasAdded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	lock := func(f *os.File) error {
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	mine, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	other, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := lock(mine); err != nil {
		t.Fatal(err)
	}
	if err := lock(other); err == nil {
		t.Fatal("the lock keeps nobody out")
	}
	if err := letGo([]int{int(mine.Fd())}); err != nil {
		t.Fatal(err)
	}
	if err := lock(other); err != nil {
		t.Errorf("it is still locked: %v", err)
	}
	if _, err := mine.Write([]byte("x")); err == nil {
		t.Error("the descriptor can still be written to")
	}
}
