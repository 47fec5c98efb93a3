// Package e2e tests the built binary end to end, as root on a real kernel.
// Programs by others use the disks and decide whether results are right.
//
// It has tests only, which run one after another; what they share is in the files
// harness_*. Without root and a kernel that has TCM-USER they are skipped, and
// with CI=true they fail. To run them in the virtual machine, in one boot:
//
//	make e2e [RUN=REGEXP]
//
// The binary under test is $LUNSERVE, else ../lunserve, else the first lunserve
// on PATH. Each test checks that it leaves the kernel as it was, so the tests can
// run in any order. They write in the folder for temporary files only, block
// devices included.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needTarget skips t if this kernel cannot have targets; in CI it fails t instead,
// since nobody would notice the skip. At the end of t, after the cleanups that t
// registers from here on, it checks that the kernel is as it was.
func needTarget(t *testing.T) {
	t.Helper()
	if err := canMakeTarget(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	leavesNothing(t)
}

// canMakeTarget loads and mounts what targets need, as lunserve itself does; the
// traces would differ otherwise.
func canMakeTarget() error {
	if os.Geteuid() != 0 {
		return errors.New("not root; try e2e/vm, or sudo")
	}
	if err := binaryError; err != nil {
		return err
	}
	for _, module := range []string{"target_core_user", "tcm_loop", "loop", "sg"} {
		exec.Command("modprobe", module).Run() // fails for those built in
	}
	if !exists(configfs) {
		exec.Command("mount", "-t", "configfs", "-o", "nosuid,nodev,noexec", "configfs", filepath.Dir(configfs)).Run()
	}
	for _, path := range []string{configfs, "/sys/module/target_core_user", "/sys/bus/tcm_loop_bus"} {
		if !exists(path) {
			return fmt.Errorf("%s: does not exist: the kernel has no TCM-USER or no loopback target; try e2e/vm", path)
		}
	}
	return nil
}

// configfs is the folder of the kernel's targets.
const configfs = "/sys/kernel/config/target"

// binary is the absolute path of the lunserve under test.
var binary, binaryError = findBinary()

func findBinary() (string, error) {
	path := os.Getenv("LUNSERVE")
	if path == "" {
		path = "../lunserve"
		if !exists(path) {
			var err error
			if path, err = exec.LookPath("lunserve"); err != nil {
				return "", errors.New("no lunserve to test; try CGO_ENABLED=0 go build -o lunserve . or set LUNSERVE")
			}
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// name returns the command name of the binary's processes, as in /proc/PID/comm.
func name() string {
	name := filepath.Base(binary)
	return name[:min(len(name), 15)]
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sayKernel prints the day and the kernel, for those who read the log, of which
// e2e/kernelreport is one.
func sayKernel() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		fmt.Printf("%s, Linux %s %s\n", time.Now().UTC().Format(time.DateOnly), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]))
	}
}
