package e2e

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

//go:embed testdata
var scripts embed.FS

// TestScripts runs the scripts in testdata. Each must leave nothing behind. Beside
// testscript's own commands they have
//
//	unload  unloads the target modules and unmounts configfs, until the script ends
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, scripts); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		// One testscript.Run would run them in parallel.
		t.Run(filepath.Base(file), func(t *testing.T) {
			needTarget(t)
			bin := t.TempDir()
			if err := os.Symlink(binary, filepath.Join(bin, "lunserve")); err != nil {
				t.Fatal(err)
			}
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"unload": func(ts *testscript.TestScript, _ bool, _ []string) {
						ts.Defer(func() { ts.Check(canMakeTarget()) })
						ts.Check(unload())
					},
				},
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
			})
		})
	}
}

// unload unloads the target modules and unmounts configfs. It fails if there is a
// target.
func unload() error {
	if err := unix.Unmount(filepath.Dir(configfs), 0); err != nil && err != unix.EINVAL { // EINVAL: it is not mounted
		return &fs.PathError{Op: "umount", Path: filepath.Dir(configfs), Err: err}
	}
	const core = "/sys/module/target_core_mod"
	users, err := filepath.Glob(core + "/holders/*")
	if err != nil {
		return err
	}
	for _, module := range append(users, core) {
		if !exists(module) {
			continue
		}
		if err := unix.DeleteModule(filepath.Base(module), unix.O_NONBLOCK); err != nil {
			return &fs.PathError{Op: "rmmod", Path: filepath.Base(module), Err: err}
		}
	}
	return nil
}
