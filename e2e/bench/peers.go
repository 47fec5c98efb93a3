package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A peer is a way to serve an image as a disk. serve returns the disk's device. It
// pushes to undo what removes the disk, even if it fails halfway.
type peer struct {
	name  string
	image string // the name of its file
	serve func(image string, u *undo) (disk string, err error)
}

// A served is a peer's disk.
type served struct {
	name, disk string
	undo       undo
}

// An undo is the steps that remove what was made. They run in reverse order.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

func (u *undo) run() (err error) {
	for _, f := range slices.Backward(*u) {
		err = errors.Join(err, f())
	}
	*u = nil
	return err
}

const baseline = "LIO fileio" // the others are compared with it

func all() []peer {
	peers := []peer{
		{"lunserve", "disk", serveLunserve()},
		{"one queue", "other", serveLunserve("--single-queue")},
		{baseline, "disk", serveFileio},
		{"loop device", "disk", serveLoop},
	}
	handlers, _ := filepath.Glob("/usr/lib*/*/tcmu-runner/handler_file.so")
	if _, err := exec.LookPath("tcmu-runner"); err == nil && len(handlers) > 0 {
		peers = append(peers, peer{"tcmu-runner", "disk", serveRunner})
	}
	return peers
}

func serveLunserve(flags ...string) func(string, *undo) (string, error) {
	return func(image string, u *undo) (string, error) { return runLunserve(u, append(flags, image)...) }
}

func runLunserve(u *undo, args ...string) (string, error) {
	cmd := exec.Command("lunserve", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	u.add(func() error { return errors.Join(cmd.Process.Signal(unix.SIGTERM), cmd.Wait()) })
	disk, err := bufio.NewReader(out).ReadString('\n')
	if err == io.EOF {
		err = errors.New("lunserve ended without printing a disk")
	}
	return strings.TrimSpace(disk), err
}

func serveLoop(image string, u *undo) (string, error) {
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	disk := strings.TrimSpace(string(out))
	if err == nil {
		u.add(exec.Command("losetup", "--detach", disk).Run)
	}
	return disk, err
}

// serveFileio makes a fileio backstore as targetcli does by default: buffered.
func serveFileio(image string, u *undo) (string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", err
	}
	control := fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d,fd_buffered_io=1", image, info.Size())
	return loopback("fileio_0", control, "naa.5001405bbbbbbbb1", u)
}

func serveRunner(image string, u *undo) (string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("tcmu-runner")
	if err := cmd.Start(); err != nil {
		return "", err
	}
	u.add(func() error { cmd.Process.Signal(unix.SIGTERM); cmd.Wait(); return nil })
	control := fmt.Sprintf("dev_config=file/%s,dev_size=%d", image, info.Size())
	return loopback("user_77", control, "naa.5001405bbbbbbbb2", u)
}
