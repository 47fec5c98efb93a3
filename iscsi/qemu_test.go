package iscsi_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/iscsi"
)

// qemu runs a program of QEMU, which reaches iSCSI by libiscsi.
func qemu(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func needQEMU(t *testing.T) {
	t.Helper()
	if err := exec.Command("sh", "-c", "qemu-img --help | grep '^Supported formats:.* iscsi '").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err, "; apt-get install qemu-utils qemu-block-extra")
		}
		t.Skip("no qemu-img with iSCSI here")
	}
}

func TestQEMUReadsWhatItWrote(t *testing.T) {
	needQEMU(t)
	_, portal := one(t, iscsi.Options{})
	url := "iscsi://" + portal + "/" + targetName + "/0"
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	want := randomBytes(16 << 20)
	if err := os.WriteFile(in, want, 0o600); err != nil {
		t.Fatal(err)
	}
	qemu(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", in, url)
	qemu(t, "qemu-img", "convert", "-f", "raw", "-O", "raw", url, out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy differs: %v", err)
	}
	qemu(t, "qemu-io", "-f", "raw", "-c", "write -P 7 1M 3M", "-c", "aio_read -P 7 1M 1M", "-c", "aio_read -P 7 2M 2M", "-c", "aio_flush",
		"-c", "discard 1M 1M", "-c", "read -P 0 1M 1M", "-c", "write -z 3M 64k", "-c", "read -P 0 3M 64k", "-c", "flush", url)
}
