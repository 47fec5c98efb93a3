// Benchreport puts what make bench printed into docs/performance.md: each table of e2e/bench,
// e2e/packbench and e2e/urlbench in the place that is marked for it, and a chart of the
// instructions beside it.
//
//	go run ./e2e/benchreport docs/performance.md <bench.txt
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/lunserve/lunserve/e2e/marked"
)

func main() {
	if err := report(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "benchreport:", err)
		os.Exit(1)
	}
}

// report updates the page that is the only argument, and the chart in its folder.
func report(args []string, bench io.Reader) error {
	if len(args) != 1 {
		return fmt.Errorf("want the page as the only argument, not %q", args)
	}
	text, err := io.ReadAll(bench)
	if err != nil {
		return err
	}
	page, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	tables := parse(string(text))
	if len(tables) == 0 {
		return fmt.Errorf("no table of make bench in what was read")
	}
	filled, err := fill(string(page), tables)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	for _, t := range tables {
		if t.kind == "instructions" {
			if err := os.WriteFile(filepath.Join(filepath.Dir(args[0]), "performance.svg"), []byte(t.chart()), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(args[0], []byte(filled), 0o644)
}

// A table is one that a benchmark printed.
type table struct {
	kind string // one of kinds
	text string // with the date and the machine, and what the figures are
	rows [][]string
}

// begin matches the line before a table, with the date and the machine.
var begin = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d, (Linux |\d+ CPUs: ).*$`)

// kinds are those of tables, with what the text before their rows contains.
var kinds = []struct{ kind, text string }{
	{"instructions", "Instructions"},
	{"rates", "IOPS"},
	{"packed images", ": packed images;"},
	{"qcow2 images", ": qcow2 images;"},
	{"images at a URL", ": images at a URL;"},
}

// parse finds the tables in the output of make bench, among other lines.
func parse(text string) (all []table) {
	for _, at := range begin.FindAllStringIndex(text, -1) {
		var t table
		for line := range strings.Lines(text[at[0]:]) {
			cell := strings.HasPrefix(line, "|")
			if len(t.rows) > 0 && !cell {
				break
			}
			t.text += line
			if cell {
				t.rows = append(t.rows, cells(line))
			}
		}
		for _, k := range kinds {
			if strings.Contains(t.text, k.text) {
				t.kind = k.kind
			}
		}
		if len(t.rows) < 3 || t.kind == "" {
			continue
		}
		all = append(all, t)
	}
	return all
}

// cells are the trimmed cells of a row.
func cells(line string) []string {
	row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	return row
}

// fill returns the page with the tables in place of what is between their marks.
func fill(page string, tables []table) (_ string, err error) {
	for _, t := range tables {
		if page, err = marked.Fill(page, t.kind, "bench", t.text); err != nil {
			return "", err
		}
	}
	return page, nil
}
