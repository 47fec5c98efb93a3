package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// megabytes is the size of every image.
const megabytes = 64

// newImage makes an image of zeros for a kind of disk, until remove.
func newImage(dir string, k kind) (path string, remove func() error, err error) {
	if k == slow {
		return newSlowImage(dir)
	}
	path = filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return "", nil, err
	}
	return path, func() error { return os.Remove(path) }, os.Truncate(path, megabytes<<20)
}

// newSlowImage makes an image on a file system of its own, on a null_blk device that
// keeps data in memory and writes 8 MB/s.
func newSlowImage(dir string) (path string, remove func() error, err error) {
	const name = "nullb0" // newer kernels name the device after the folder, older ones number it
	device := "/sys/kernel/config/nullb/" + name
	var undo []func() error
	remove = func() (err error) {
		for _, step := range slices.Backward(undo) {
			err = errors.Join(err, step())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	run := func(name string, args ...string) error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}
	if err := run("modprobe", "null_blk", "nr_devices=0"); err != nil {
		return "", nil, err
	}
	if err := os.Mkdir(device, 0o755); err != nil {
		return "", nil, err
	}
	undo = append(undo, func() error { return unix.Rmdir(device) }) // also removes the device
	for _, a := range []struct{ name, value string }{
		{"memory_backed", "1"}, {"size", fmt.Sprint(2 * megabytes)}, {"mbps", "8"}, {"power", "1"},
	} {
		if err := os.WriteFile(filepath.Join(device, a.name), []byte(a.value), 0); err != nil {
			return "", nil, err
		}
	}
	if err := run("mkfs.ext4", "-q", "-O", "^has_journal", "/dev/"+name); err != nil {
		return "", nil, err
	}
	where, err := os.MkdirTemp(dir, "slow")
	if err != nil {
		return "", nil, err
	}
	undo = append(undo, func() error { return os.Remove(where) })
	if err := run("mount", "/dev/"+name, where); err != nil {
		return "", nil, err
	}
	undo = append(undo, func() error { return unix.Unmount(where, 0) })
	path = filepath.Join(where, "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return "", nil, err
	}
	return path, remove, os.Truncate(path, megabytes<<20)
}
