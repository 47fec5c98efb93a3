package e2e

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// witnesses are the programs whose word the tests take, and the Debian
// packages they are in; besides, all whose names begin with sg_ are in
// sg3-utils. All are installed by
//
//	e2e/install e2fsprogs fdisk fio kmod libiscsi-bin mount open-iscsi qemu-block-extra qemu-system-x86 \
//		qemu-utils sg3-utils strace udev util-linux xfsprogs zstd
var witnesses = map[string]string{
	"blkdiscard":         "util-linux",
	"blockdev":           "util-linux",
	"cmp":                "diffutils",
	"diff":               "diffutils",
	"e2fsck":             "e2fsprogs",
	"fio":                "fio",
	"fstrim":             "util-linux",
	"iscsi-inq":          "libiscsi-bin",
	"iscsi-test-cu":      "libiscsi-bin",
	"iscsiadm":           "open-iscsi",
	"iscsid":             "open-iscsi",
	"losetup":            "mount",
	"mkfs.ext4":          "e2fsprogs",
	"mkfs.f2fs":          "f2fs-tools",
	"mkfs.xfs":           "xfsprogs",
	"modprobe":           "kmod",
	"mount":              "mount",
	"pzstd":              "zstd",
	"qemu-img":           "qemu-utils",
	"qemu-system-x86_64": "qemu-system-x86",
	"resize2fs":          "e2fsprogs",
	"rmmod":              "kmod",
	"sfdisk":             "fdisk",
	"sh":                 "dash",
	"strace":             "strace",
	"sync":               "coreutils",
	"udevadm":            "udev",
	"umount":             "mount",
	"unshare":            "util-linux",
	"xfs_repair":         "xfsprogs",
	"zstd":               "zstd",
}

// patience is how long anything may take that depends on a disk. On the
// slowest machine nothing takes a tenth of it, so it ends only what hangs.
const patience = 2 * time.Minute

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

// try runs a program, and returns what it printed. Only its own exit status is
// an error: that it cannot be run, or does not end, fails t.
func try(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	need(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %s: still running after %v\n%s", name, strings.Join(args, " "), patience, out)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out), err
}

// need fails t if a program is not installed.
func need(t testing.TB, name string) {
	t.Helper()
	if name == binary {
		return // by its path
	}
	pkg, ok := witnesses[name]
	if strings.HasPrefix(name, "sg_") {
		pkg, ok = "sg3-utils", true
	}
	if !ok {
		t.Fatalf("%s: not in the list of witnesses", name)
	}
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v; try e2e/install %s", err, pkg)
	}
}
