package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The kernel keeps the mark of a process that was killed while it made a target, whatever
// the number of queues, and the target is removed by it.
func TestTargetOfAMakerThatWasKilledIsRemoved(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	s := start(t, "--single-queue", newImage(t, tmpfsDir(t), 1<<20))
	made := filepath.Join(configfs, "loopback/naa.5001405000000abc")
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown("/sys/bus/tcm_loop_bus", -1, dead.Process.Pid); err != nil {
		t.Fatal(err)
	}
	run(t, binary, "list")
	if exists(made) {
		t.Error("list has left the target")
	}
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown("/sys/bus/tcm_loop_bus", -1, dead.Process.Pid); err != nil {
		t.Fatal(err)
	}
	start(t, newImage(t, tmpfsDir(t), 1<<20)).ends()
	if exists(made) {
		t.Error("a start has left the target")
	}
	s.ends()
}
