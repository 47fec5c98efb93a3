package confine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/e2e/confinetest"
)

func TestMain(m *testing.M) {
	confinetest.Main()
	os.Exit(m.Run())
}

// A fault in a confined process cannot open, execute, connect or mount, from no
// thread and in no process that it starts, and what is given to it works.
func TestConfinedProcess(t *testing.T) {
	t.Log(confinetest.Run(t, static(t)))
}

// static returns this program without cgo: the race detector needs cgo, and a
// program with it cannot be confined.
func static(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "confine.test")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
