package main

import (
	"fmt"
	"runtime"
	"time"
)

// begin prints the head of a table in Markdown, which e2e/benchreport knows by what is
// measured.
func begin(what string) {
	fmt.Printf("\n%s, %d CPUs: %s; medians of %d rounds, with the CPU time in brackets\n\n| job | time | |\n|---|---|---|\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), what, *rounds)
}

// row prints a row of it.
func row(job string, took any, more string, a ...any) {
	fmt.Printf("| %s | %v | %s |\n", job, took, fmt.Sprintf(more, a...))
}
