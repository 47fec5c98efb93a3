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

// TestScripts runs the sessions in testdata: starts that fail. Each must leave
// nothing. Besides the usual commands they have
//
//	unload  has the kernel forget all about targets, until the session ends
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, scripts); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("sessions: %v, %v", files, err)
	}
	for _, file := range files {
		// One testscript.Run would run them all at once.
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

// unload takes the kernel back to where nobody has asked it for a target. It
// does not if anybody has one.
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
