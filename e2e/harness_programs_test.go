package e2e

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// packages are the Debian packages of the programs that the tests run. Programs
// whose names begin with sg_ are in sg3-utils. The Makefile's PROGRAMS lists the
// packages.
var packages = map[string]string{
	"blkdiscard":         "util-linux",
	"blockdev":           "util-linux",
	"cmp":                "diffutils",
	"cp":                 "coreutils",
	"debugfs":            "e2fsprogs",
	"dd":                 "coreutils",
	"diff":               "diffutils",
	"dmesg":              "util-linux",
	"env":                "coreutils",
	"dmsetup":            "dmsetup",
	"e2fsck":             "e2fsprogs",
	"fio":                "fio",
	"fstrim":             "util-linux",
	"ip":                 "iproute2",
	"iscsi-inq":          "libiscsi-bin",
	"iscsi-test-cu":      "libiscsi-bin",
	"iscsiadm":           "open-iscsi",
	"iscsid":             "open-iscsi",
	"losetup":            "mount",
	"mdadm":              "mdadm",
	"mke2fs":             "e2fsprogs",
	"btrfs":              "btrfs-progs",
	"mkfs.btrfs":         "btrfs-progs",
	"mkfs.ext4":          "e2fsprogs",
	"mkfs.f2fs":          "f2fs-tools",
	"mkfs.xfs":           "xfsprogs",
	"mkswap":             "util-linux",
	"modprobe":           "kmod",
	"mount":              "mount",
	"nginx":              "nginx-light",
	"pzstd":              "zstd",
	"qemu-io":            "qemu-utils",
	"qemu-img":           "qemu-utils",
	"qemu-system-x86_64": "qemu-system-x86",
	"resize2fs":          "e2fsprogs",
	"rmmod":              "kmod",
	"setpriv":            "util-linux",
	"sfdisk":             "fdisk",
	"sh":                 "dash",
	"strace":             "strace",
	"swapoff":            "mount",
	"swapon":             "mount",
	"sync":               "coreutils",
	"tmux":               "tmux",
	"truncate":           "coreutils",
	"udevadm":            "udev",
	"umount":             "mount",
	"unshare":            "util-linux",
	"xfs_repair":         "xfsprogs",
	"xorriso":            "xorriso",
	"zstd":               "zstd",
}

// timeLimit bounds anything that depends on a disk. On the slowest
// machine nothing takes a tenth of it, so only what hangs exceeds it.
const timeLimit = 2 * time.Minute

// run runs a program that must succeed, and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// fails runs a program that must fail, and returns what it printed.
func fails(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err == nil {
		t.Fatalf("%s %s: succeeded\n%s", name, strings.Join(args, " "), out)
	}
	return out
}

// try runs a program, and returns what it printed and, as an error, its exit
// status. It fails t if the program cannot be run or does not end.
func try(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	need(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %s: still running after %v\n%s", name, strings.Join(args, " "), timeLimit, out)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out), err
}

// need fails t unless a program is installed.
func need(t testing.TB, name string) {
	t.Helper()
	if name == binary {
		return // a path
	}
	pkg, ok := packages[name]
	if strings.HasPrefix(name, "sg_") {
		pkg, ok = "sg3-utils", true
	}
	if !ok {
		t.Fatalf("%s: not in the list of packages", name)
	}
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v; try e2e/install %s", err, pkg)
	}
}
