package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lunserve/lunserve/hint"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lunserve": func() {
		if dir := os.Getenv(proposals); dir != "" {
			hint.OnAdvice = func(try []hint.Command) { record(dir, os.Args[1:], try) }
		}
		os.Exit(Main(os.Args[1:]))
	}})
}

// loopback returns an address of this machine that is for this process: the ports
// of scripts, of which each has its own, are free for it, though others run the same scripts.
func loopback() string {
	pid := os.Getpid() // at most 1<<22
	return netip.AddrFrom4([4]byte{127, 64 | byte(pid>>16), byte(pid >> 8), byte(pid)}).String()
}

// TestScripts runs the sessions in testdata, which need no TCM-USER, and types
// every hint that they provoke.
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { typeAll(t, dir) }) // when all sessions have ended
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv(proposals, dir)
			e.Setenv("LOOPBACK", loopback())
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			root := os.Geteuid() == 0
			if !root && os.Getenv("CI") != "" {
				return false, errors.New("not root, and nothing is skipped in CI")
			}
			return root, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
