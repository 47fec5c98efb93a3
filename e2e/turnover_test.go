package e2e

import (
	goflag "flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	luns  = goflag.Int("luns", 8, "how many disks come and go at a time")
	turns = goflag.Int("turns", 2, "how often they do")
)

// Many disks come and go. Neither the kernel nor a server beside them keeps anything.
func TestManyDisksComeAndGo(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	beside := start(t, newImage(t, dir, 16<<20))
	var images []string
	for range *luns {
		images = append(images, newImage(t, dir, 16<<20))
	}
	turn := func() {
		began := time.Now()
		s := start(t, images...)
		took := time.Since(began)
		if len(s.disks) != *luns {
			t.Fatalf("%d disks", len(s.disks))
		}
		began = time.Now()
		s.ends()
		t.Logf("%d disks: made in %v, removed in %v", *luns, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	turn() // what is kept from then on is there by now
	pid := beside.cmd.Process.Pid
	kernel, before := slab(t), usageOf(t, pid)
	for range *turns {
		turn()
	}
	if now := slab(t); now > kernel+16<<10 {
		t.Errorf("memory of the kernel: %d KiB, then %d KiB", kernel, now)
	}
	if after := usageOf(t, pid); after.fds > before.fds || after.threads > before.threads+4 || after.anonymous > before.anonymous+2<<10 {
		t.Errorf("the server beside them: %+v, then %+v", before, after)
	}
	beside.ends()
}

// slab returns the memory of the kernel's objects that it cannot give back, in KiB.
func slab(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "SUnreclaim:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
