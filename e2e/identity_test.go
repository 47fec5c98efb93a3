package e2e

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Snapshots of one image, started at the same time, have different serial
// numbers and WWNs.
func TestDisksOfOneImageHaveDifferentIdentities(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	serial := func(disk string) string {
		return strings.TrimSpace(run(t, "sg_inq", "--page=0x80", "--raw", disk)) + run(t, "sg_vpd", "--page=di", "--raw", disk)
	}
	s := start(t, image)
	alone := serial(s.disks[0])
	s.ends()

	const many = 6
	disks := make([]string, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			out, err := exec.Command(binary, "--fork", "-q", "-s", image).Output()
			if err != nil {
				t.Error(err)
			}
			disks[i] = strings.TrimSpace(string(out))
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, disk := range disks {
		seen[serial(disk)] = true
		run(t, binary, "detach", disk)
	}
	if len(seen) != many || !seen[alone] {
		t.Errorf("of %d disks there are %d identities, and the image's own among them is %v", many, len(seen), seen[alone])
	}
}
