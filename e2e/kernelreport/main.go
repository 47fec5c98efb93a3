// Kernelreport puts the results of the end-to-end tests on several kernels into
// docs/kernels.md. Each log is what go test -json printed on one kernel.
//
//	go run ./e2e/kernelreport docs/kernels.md LOG...
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/e2e/marked"
)

func main() {
	if err := report(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kernelreport:", err)
		os.Exit(1)
	}
}

// report updates the page that is the first argument from the logs behind it.
func report(args []string) error {
	if len(args) < 2 {
		return errors.New("want the page and the logs as arguments")
	}
	page, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var runs []run
	for _, name := range args[1:] {
		log, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r, err := parse(string(log))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		runs = append(runs, r)
	}
	filled, err := marked.Fill(string(page), "results", "kernels", table(runs))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], []byte(filled), 0o644)
}

// past says of a test what go test -json says.
var past = map[string]string{"fail": "failed", "skip": "skipped"}

// table is the part of the page: a row for each run, and below it what did not pass.
func table(runs []run) string {
	slices.SortStableFunc(runs, func(a, b run) int { return slices.Compare(numbers(a.release), numbers(b.release)) })
	var rows, notes strings.Builder
	rows.WriteString("| kernel | Debian's package | tested on | passed | failed | skipped |\n|---|---|---|--:|--:|--:|\n")
	for _, r := range runs {
		n := map[string]int{}
		for _, t := range r.tests {
			n[t.result]++
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %d | %d | %d |\n", r.release, r.debian, r.date, n["pass"], n["fail"], n["skip"])
		if n["fail"]+n["skip"] > 0 {
			fmt.Fprintf(&notes, "\nOn %s:\n\n", r.release)
		}
		for _, result := range []string{"fail", "skip"} {
			for _, t := range r.tests {
				if t.result == result {
					fmt.Fprintf(&notes, "* %s `%s`: %s\n", past[result], t.name, t.reason)
				}
			}
		}
	}
	return rows.String() + notes.String()
}
