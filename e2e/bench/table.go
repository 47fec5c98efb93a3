package main

import (
	"cmp"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A table has the results of each round, by job and peer.
type table map[[2]string][]result

func (t table) add(job, peer string, r result) {
	key := [2]string{job, peer}
	t[key] = append(t[key], r)
}

// median returns the median of each figure.
func (t table) median(job, peer string) result {
	of := func(figure func(result) float64) float64 {
		var list []float64
		for _, r := range t[[2]string{job, peer}] {
			list = append(list, figure(r))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return result{
		iops:  of(func(r result) float64 { return r.iops }),
		bytes: of(func(r result) float64 { return r.bytes }),
		cpu:   of(func(r result) float64 { return r.cpu }),

		switches: of(func(r result) float64 { return r.switches }),
	}
}

// print writes an aligned Markdown table, which can also be read as plain text.
func (t table) print(w io.Writer, peers []served) {
	fmt.Fprintf(w, "%s, %s\n\n", time.Now().Format(time.DateOnly), machine())
	show := t.speed
	if *icount {
		show = t.path
		fmt.Fprintf(w, "Instructions for each request, of the whole machine: thousands for 4k, millions for 1M\n(in brackets: speed relative to %s); then its context switches.\n\n", baseline)
	} else {
		fmt.Fprintf(w, "IOPS, MB/s for 1M; in brackets: relative to %s; then the CPU time and the\ncontext switches of each request, including fio's. Medians of %d rounds of %d s.\n\n", baseline, *rounds, *seconds)
	}

	rows := [][]string{{"job"}}
	for _, p := range peers {
		rows[0] = append(rows[0], p.name)
	}
	for _, job := range jobs() {
		row := []string{job}
		for _, p := range peers {
			row = append(row, show(job, t.median(job, p.name), t.median(job, baseline)))
		}
		rows = append(rows, row)
	}
	wide := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			wide[i] = max(wide[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(w, "| %-*s ", wide[i], cell)
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i := range row {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", wide[i]+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
	fmt.Fprintln(w)
}

func (t table) speed(job string, r, base result) string {
	value := r.iops
	if strings.HasPrefix(job, "1M") {
		value = r.bytes / 1e6
	}
	return fmt.Sprintf("%6.0f (%.2f) %4.0f µs %4.1f", value, r.iops/base.iops, r.cpu*1e6, r.switches)
}

func (t table) path(job string, r, base result) string {
	const perSecond = 1e9 / 32 // one instruction is 32 ns
	unit := 1e3
	if strings.HasPrefix(job, "1M") {
		unit = 1e6
	}
	digits := 1
	if unit == 1e6 {
		digits = 2
	}
	return fmt.Sprintf("%5.*f (%.2f) %4.1f", digits, perSecond/r.iops/unit, r.iops/base.iops, r.switches)
}

// machine describes where the results were measured.
func machine() string {
	var u unix.Utsname
	unix.Uname(&u)
	version, _ := exec.Command("fio", "--version").Output()
	return fmt.Sprintf("Linux %s, %d CPU, %s", unix.ByteSliceToString(u.Release[:]), runtime.NumCPU(),
		cmp.Or(strings.TrimSpace(string(version)), "fio"))
}
