package main

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lunserve": main})
}

// TestScripts runs the sessions in testdata, which need no kernel of their own.
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

// TestArrows holds the packages to the arrows drawn in README.md.
func TestArrows(t *testing.T) {
	const module = "github.com/lunserve/lunserve"
	allowed := map[string][]string{
		"": {"/backstores", "/backstores/image", "/backstores/contents", "/backstores/seekable",
			"/configfs", "/tcmu", "/tcmu/scsi", "/completions"},
		"/backstores/image":     {"/backstores", "/backstores/raw", "/backstores/overlay", "/backstores/seekable"},
		"/backstores/overlay":   {"/backstores"},
		"/backstores/raw":       {"/backstores"},
		"/backstores/seekable":  {"/backstores"},
		"/tcmu/scsi":            {"/backstores"},
		"/backstores/storetest": {"/backstores"},
		"/e2e/packbench":        {"/backstores", "/backstores/image"},
	}
	for _, fields := range list(t, `{{.ImportPath}} {{join .Imports " "}}`) {
		pkg := strings.TrimPrefix(fields[0], module)
		for _, imported := range fields[1:] {
			other, ours := strings.CutPrefix(imported, module)
			if ours && other != "/hint" && !slices.Contains(allowed[pkg], other) {
				t.Errorf("%s imports %s", fields[0], imported)
			}
		}
	}
}

// TestPackageComments finds one comment in each package that says what it is.
func TestPackageComments(t *testing.T) {
	const files = `{{.Dir}}{{range .GoFiles}} {{.}}{{else}}{{range .TestGoFiles}} {{.}}{{end}}{{end}}`
	for _, fields := range list(t, files) {
		dir := fields[0]
		var found []string
		for _, name := range fields[1:] {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				found = append(found, name)
			}
		}
		if len(found) != 1 {
			t.Errorf("%s: want one package comment, found %d %v", dir, len(found), found)
		}
	}
}

// list lists our packages as fields of text.
func list(t *testing.T, format string) (packages [][]string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		packages = append(packages, strings.Fields(line))
	}
	if len(packages) < 5 {
		t.Fatalf("go list ./... lists %d packages", len(packages))
	}
	return packages
}
