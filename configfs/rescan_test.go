package configfs

import (
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

func TestRescanVerifiesTheSize(t *testing.T) {
	k := newKernel(t)
	k.file("sys/class/block/sdb/device/rescan", "")
	k.file("sys/class/block/sdb/size", "4096\n")
	if err := k.rescan(k.dev+"/sdb", 2<<20); err != nil {
		t.Error(err)
	}
	if got := k.read("sys/class/block/sdb/device/rescan"); got != "1" {
		t.Errorf("rescan was given %q", got)
	}
	if err := k.rescan(k.dev+"/sdb", 3<<20); err == nil || !strings.Contains(hint.Text(err), "reads a size of 4096 sectors, not 6144; try dmesg") {
		t.Errorf("a size that did not change: %v", err)
	}
	if err := k.rescan(k.dev+"/sdz", 1<<20); err == nil {
		t.Error("no error for a disk that is not there")
	}
}
