package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// leavesNothing fails t if, when it and its later cleanups have run, the kernel
// is not as it is now, or if it complains meanwhile.
func leavesNothing(t *testing.T) {
	t.Helper()
	before, complaints := traces(t), listenToKernel(t)
	t.Cleanup(func() {
		sameTraces(t, before)
		for _, line := range complaints() {
			t.Errorf("the kernel complains: %s", line)
		}
	})
}

// sameTraces fails t if the traces now are not those of before.
func sameTraces(t *testing.T, before []string) {
	t.Helper()
	after := traces(t)
	for _, name := range after {
		if !slices.Contains(before, name) {
			t.Errorf("left behind: %s", name)
		}
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("gone: %s", name)
		}
	}
}

// traces are the names of all that a disk shows itself by: the tree of
// targets, devices and their nodes, and what is mounted.
func traces(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(configfs, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil && exists(configfs) {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		"/dev/sd*", "/dev/sg*", "/dev/uio*",
		"/sys/class/block/[^l]*", // loop devices are there before they are used
		"/sys/class/block/loop*/loop/backing_file",
		"/sys/class/bsg/*",
		"/sys/class/scsi_device/*",
		"/sys/class/scsi_disk/*",
		"/sys/class/scsi_generic/*",
		"/sys/class/scsi_host/*",
		"/sys/class/uio/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		names = append(names, "mount of "+strings.TrimSpace(line))
	}
	return names
}
