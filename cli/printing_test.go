package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What foreign text can reach is printed by package console alone, which
// escapes it. So nothing else may write to the standard streams or to a log.
// The exceptions print text of the grammar, or pass the streams to a command.
func TestOnlyTheConsolePrints(t *testing.T) {
	const files = `{{.ImportPath}} {{.Dir}}{{range .GoFiles}} {{.}}{{end}}`
	for _, fields := range list(t, files) {
		pkg, dir := trim(fields[0]), fields[1]
		if pkg == "serve/console" || strings.HasPrefix(pkg, "e2e") || pkg == "backstores/storetest" {
			continue
		}
		for _, name := range fields[2:] {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range printing(f, filepath.Join(pkg, name)) {
				t.Errorf("%s: prints past the console", fset.Position(n.Pos()))
			}
		}
	}
}

// mayPrint has the places that may use a standard stream, by file: a function
// that is passed it, or a field of a command that gets it.
var mayPrint = map[string][]string{
	"cli/cli.go":          {"console.New", "console.NewPrinter"},
	"cli/doctor.go":       {"console.Columns"},
	"cli/list.go":         {"console.Columns"},
	"cli/man.go":          {"console.Columns", "cmd.Stdout", "cmd.Stderr", "io.WriteString"},
	"cli/plot.go":         {"console.Columns"},
	"cli/spark.go":        {"console.Columns"},
	"serve/mount.go":      {"cmd.Stderr"}, // a buffer
	"serve/events.go":     {"console.NewWriter"},
	"serve/ready.go":      {"s.printLines"}, // uses console.NewWriter
	"serve/command.go":    {"cmd.Stdout", "cmd.Stderr"},
	"serve/background.go": {"cmd.Stdout", "cmd.Stderr"},
	"serve/execute.go":    {"cmd.Stdout", "cmd.Stderr"}, // buffers
	"serve/guard/end.go":  {"cmd.Stdout", "cmd.Stderr"},
	// Kong's, for texts of the grammar.
	"cli/help.go":       {"fmt.Fprint"},
	"cli/completion.go": {"io.WriteString"},
}

// printing returns the nodes of a file that print.
func printing(f *ast.File, name string) (found []ast.Node) {
	allowed := make(map[ast.Node]bool)
	allow := func(to ast.Expr, values []ast.Expr) {
		if slices.Contains(mayPrint[name], dotted(to)) {
			for _, v := range values {
				allowed[v] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			if slices.Contains([]string{`"log"`, `"log/slog"`, `"log/syslog"`}, n.Path.Value) {
				found = append(found, n)
			}
		case *ast.CallExpr:
			allow(n.Fun, n.Args)
			if fn := dotted(n.Fun); slices.Contains([]string{"fmt.Print", "fmt.Printf", "fmt.Println", "print", "println"}, fn) {
				found = append(found, n)
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				allowed[to] = allowed[to] || slices.Contains(mayPrint[name], dotted(to))
				if len(n.Rhs) == len(n.Lhs) {
					allow(to, n.Rhs[i:i+1])
				}
			}
		case *ast.SelectorExpr:
			if (n.Sel.Name == "Stdout" || n.Sel.Name == "Stderr") && !allowed[n] {
				found = append(found, n)
			}
		case *ast.BasicLit:
			for _, part := range []string{"/dev/std", "/dev/console", "/dev/log", "/dev/kmsg", `\x1b[`} {
				if strings.Contains(n.Value, part) {
					found = append(found, n)
				}
			}
		}
		return true
	})
	return found
}

// dotted is the text of a name such as fmt.Println.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return dotted(e.X) + "." + e.Sel.Name
	}
	return ""
}

// The test above finds what it looks for.
func TestPrintingIsFound(t *testing.T) {
	const src = `package x
import "log"
func f(c *cmd) {
	fmt.Println("a")
	fmt.Fprintln(os.Stderr, "a")
	w := os.Stdout
	c.Stderr = os.Stderr
	os.WriteFile("/dev/stderr", nil, 0)
	println()
	b.WriteString("\x1b[2J")
}`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if found := printing(f, "x.go"); len(found) != 9 {
		t.Errorf("%d places are found, want 9: %v", len(found), found)
	}
}
