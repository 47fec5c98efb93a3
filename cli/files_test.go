package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// byName lists the calls that make, replace, truncate or remove a file by its
// path.
var byName = map[string][]string{
	"os": {"Create", "CreateTemp", "Link", "Remove", "RemoveAll", "Rename", "Symlink", "Truncate", "WriteFile"},
	"unix": {"Creat", "Link", "Linkat", "O_CREAT", "O_TMPFILE", "O_TRUNC", "Rename", "Renameat", "Renameat2",
		"Rmdir", "Truncate", "Unlink", "Unlinkat"},
}

// mayUse lists the files that use them: package entry, and those whose folders
// belong to the kernel, or are for root or the user alone. An [os.Root] holds its
// folder open, as package entry does.
var mayUse = map[string]string{
	"backstores/entry/file.go":   "Linkat O_TMPFILE Renameat Renameat2 Unlinkat",
	"backstores/entry/hidden.go": "O_CREAT Unlinkat",
	"serve/memory.go":            "WriteFile", // /proc/self/oom_score_adj
	"backstores/entry/entry.go":  "Unlinkat",
	"configfs/remove.go":         "Rmdir Unlink",
	"configfs/tree.go":           "Rmdir Unlink",
	"configfs/reservations.go":   "O_CREAT O_TRUNC Remove Rmdir", // /var/target/pr
	"serve/guard/standby.go":     "WriteFile",                    // /proc/self
	"serve/control/stale.go":     "Remove",                       // /run/lunserve
	"serve/control/server.go":    "Remove",
}

// TestFilesAreMadeAndRemovedByPackageEntry finds a file that is made, replaced or
// removed by a path that may lead to another one by then.
func TestFilesAreMadeAndRemovedByPackageEntry(t *testing.T) {
	unused := maps.Clone(mayUse)
	for _, fields := range list(t, `{{.ImportPath}} {{.Dir}}{{range .GoFiles}} {{.}}{{end}}`) {
		pkg := trim(fields[0])
		if strings.HasPrefix(pkg, "e2e") || strings.HasPrefix(pkg, "backstores/storetest") {
			continue // tests
		}
		for _, name := range fields[2:] {
			file := filepath.Join(pkg, name)
			for _, call := range callsByName(t, filepath.Join(fields[1], name)) {
				if !slices.Contains(strings.Fields(mayUse[file]), call) {
					t.Errorf("%s uses %s; package entry has what it needs", file, call)
				}
				unused[file] = strings.TrimSpace(strings.ReplaceAll(" "+unused[file]+" ", " "+call+" ", " "))
			}
		}
	}
	for file, calls := range unused {
		if calls != "" {
			t.Errorf("%s does not use %s any more", file, calls)
		}
	}
}

// callsByName returns the calls of byName that a file uses.
func callsByName(t *testing.T, path string) (used []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(byName[x.Name], s.Sel.Name) {
				used = append(used, s.Sel.Name)
			}
		}
		return true
	})
	return used
}
