package cli

import (
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lunserve/lunserve"

// allowed lists the arrows of ARCHITECTURE.md: the packages of lunserve that
// each package may import. Every package may also import hint.
var allowed = map[string]string{
	"":                     "cli",
	"cli":                  "serve serve/confine serve/control serve/console serve/guard configfs backstores backstores/image backstores/seekable completions man tcmu/scsi/fault",
	"serve":                "serve/confine serve/control serve/console serve/guard tcmu tcmu/scsi tcmu/scsi/fault iscsi configfs backstores backstores/image backstores/inuse backstores/entry backstores/volatile",
	"completions":          "tcmu/scsi/fault",
	"serve/control":        "backstores/inuse",
	"serve/guard":          "backstores/inuse configfs",
	"configfs":             "backstores/inuse",
	"tcmu/scsi":            "backstores tcmu/scsi/fault",
	"backstores/image":     "backstores backstores/contents backstores/decoded backstores/raw backstores/overlay backstores/seekable backstores/qcow2 backstores/remote backstores/entry",
	"backstores/raw":       "backstores backstores/inuse backstores/entry",
	"backstores/overlay":   "backstores backstores/qcow2",
	"backstores/seekable":  "backstores backstores/decoded",
	"backstores/decoded":   "backstores",
	"backstores/qcow2":     "backstores backstores/decoded backstores/seekable",
	"backstores/remote":    "backstores",
	"backstores/volatile":  "backstores",
	"backstores/storetest": "backstores",
	"e2e/confinetest":      "serve/confine",
	"e2e/benchreport":      "e2e/marked",
	"e2e/kernelreport":     "e2e/marked",
	"e2e/packbench":        "backstores backstores/image",
	"e2e/urlbench":         "backstores backstores/image e2e/weblab",
}

func TestArrows(t *testing.T) {
	for _, fields := range list(t, `{{.ImportPath}} {{join .Imports " "}}`) {
		pkg := trim(fields[0])
		for _, imported := range fields[1:] {
			if !strings.HasPrefix(imported, module+"/") || imported == module+"/hint" {
				continue
			}
			if other := trim(imported); !slices.Contains(strings.Fields(allowed[pkg]), other) {
				t.Errorf("%s imports %s", fields[0], other)
			}
		}
	}
}

// trim is the path of a package below the module.
func trim(pkg string) string { return strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/") }

func TestRootHasOneGoFile(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil || !slices.Equal(files, []string{"../main.go"}) {
		t.Errorf("at the root are %v, %v; want only main.go", files, err)
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
	out, err := exec.Command("go", "list", "-f", format, module+"/...").Output()
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
