package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// mount mounts until t ends.
func mount(t *testing.T, what, where string, options ...string) {
	t.Helper()
	run(t, "mount", append(options, what, where)...)
	t.Cleanup(func() {
		if mounted(t, where) {
			run(t, "umount", where)
		}
	})
}

func mounted(t *testing.T, where string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(mounts), " "+where+" ")
}

// loop attaches a file to a loop device, until t ends.
func loop(t *testing.T, file string, options ...string) string {
	t.Helper()
	device := strings.TrimSpace(run(t, "losetup", append(options, "--find", "--show", file)...))
	t.Cleanup(func() { run(t, "losetup", "--detach", device) })
	return device
}

// dropCaches empties the kernel's caches of files.
func dropCaches(t *testing.T) {
	t.Helper()
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Fatal(fmt.Errorf("drop caches: %w", err))
	}
}
