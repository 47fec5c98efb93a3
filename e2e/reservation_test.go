package e2e

import (
	"os"
	"testing"
)

// With APTPL the kernel keeps reservations in a folder, which lunserve must make
// and remove.
func TestPersistentReservationIsKept(t *testing.T) {
	const folder = "/var/target"
	needTarget(t)
	before := exists(folder)
	s := start(t, newImage(t, tmpfsDir(t), 8<<20))
	sg := generic(t, s.disks[0])
	run(t, "sg_persist", "--out", "--register", "--param-sark=abc123", "--param-aptpl", sg)
	run(t, "sg_persist", "--out", "--reserve", "--param-rk=abc123", "--prout-type=5", sg)
	says(t, "sg_persist", "--in", "--read-reservation", sg).has("Key ?= ?0xabc123")
	files := glob(t, folder+"/pr/aptpl_*")
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	if text, err := os.ReadFile(files[0]); err != nil || len(text) == 0 {
		t.Errorf("%s: %q, %v", files[0], text, err)
	}
	s.ends()
	if exists(files[0]) || exists(folder) != before {
		t.Errorf("%s is there: %v, and was: %v; %s is there: %v", folder, exists(folder), before, files[0], exists(files[0]))
	}
}
