package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// leavesNothing fails t if the traces at the end of t, after the cleanups that t
// registers from here on, differ from those now, or if the kernel complains
// meanwhile.
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

// sameTraces fails t if the traces differ from those before.
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

// queuesParameter is 2 while lunserve makes a SCSI host, and 1 otherwise.
const queuesParameter = "/sys/module/tcm_loop/parameters/nr_hw_queues"

// traces returns the names of everything that lunserve could leave behind: the
// tree of targets, devices with their nodes, mounts, and a parameter of a module.
func traces(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(configfs, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the kernel is removing it
		}
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		"/dev/sd*", "/dev/sg*", "/dev/uio*",
		"/sys/class/block/[^l]*", // not loop devices, which exist before use
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
	if queues, err := os.ReadFile(queuesParameter); err == nil && string(queues) != "1\n" {
		names = append(names, fmt.Sprintf("%q in %s", queues, queuesParameter))
	}
	return names
}
