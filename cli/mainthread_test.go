package cli

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProgramRunsOffTheMainThread(t *testing.T) {
	status := offMainThread(func() int {
		if unix.Gettid() == os.Getpid() {
			t.Error("the program runs on the main thread")
		}
		return 3
	})
	if status != 3 {
		t.Errorf("exit status %d, want 3", status)
	}
}
