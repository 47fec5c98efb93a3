// Package e2e holds lunserve to its promises, as a user would: the built
// binary, as root, on a real kernel, its disks used and judged by programs that
// others wrote.
//
// It has nothing but tests, which run one after another. Where there is no
// kernel for them they are skipped; with CI=true that is a failure. To run them
// in the virtual machine, in one boot:
//
//	go test -exec "$PWD/e2e/vm --" ./e2e
//
// The binary under test is $LUNSERVE, else ../lunserve, else the first lunserve
// on PATH. Each test leaves the kernel as it was and checks that it did, so
// that they can run in any order. All they write is in the folder for temporary
// files, block devices included.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// needTarget skips t where there is no kernel to test on; in CI it fails, as a
// skip that nobody sees is a test that nobody runs. It holds the rest of t, and
// the cleanups that t registers from here on, to leaving nothing in the kernel.
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

// canMakeTarget loads and mounts what targets need, as lunserve itself would,
// so that it finds nothing left to do.
func canMakeTarget() error {
	if os.Geteuid() != 0 {
		return errors.New("not root; try e2e/vm, or sudo")
	}
	if err := binaryError; err != nil {
		return err
	}
	for _, module := range []string{"target_core_user", "tcm_loop", "loop", "sg"} {
		exec.Command("modprobe", module).Run() // what it cannot load may be built in
	}
	if !exists(configfs) {
		exec.Command("mount", "-t", "configfs", "-o", "nosuid,nodev,noexec", "configfs", filepath.Dir(configfs)).Run()
	}
	for _, sign := range []string{configfs, "/sys/module/target_core_user", "/sys/bus/tcm_loop_bus"} {
		if !exists(sign) {
			return fmt.Errorf("%s: not there: the kernel has no TCM-USER or no loopback target; try e2e/vm", sign)
		}
	}
	return nil
}

// configfs is the part of it that is the kernel's targets.
const configfs = "/sys/kernel/config/target"

// binary is the absolute path of the lunserve that is tested.
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

// name is what processes of the binary are called.
func name() string {
	name := filepath.Base(binary)
	return name[:min(len(name), 15)]
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
