package cli

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lunserve": func() { os.Exit(Main(os.Args[1:])) }})
}

// TestScripts runs the sessions in testdata, which need no TCM-USER.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
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
