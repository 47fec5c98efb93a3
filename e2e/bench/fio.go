package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

//go:embed jobs.fio
var jobFile string

// jobs returns the names of the jobs in jobs.fio, in order.
func jobs() (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^\[(.*)\]$`).FindAllStringSubmatch(jobFile, -1) {
		if m[1] != "global" {
			names = append(names, m[1])
		}
	}
	return names
}

// A result is that of one run of one job.
type result struct {
	iops  float64
	bytes float64 // a second
	cpu   float64 // CPU seconds of the whole machine for each request: fio, kernel and daemon
}

// fio runs one job of jobs.fio on a disk.
func fio(job, disk string, seconds int) (result, error) {
	cmd := exec.Command("fio", "--output-format=json", "--section="+job, "-")
	cmd.Stdin = strings.NewReader(jobFile)
	cmd.Env = append(os.Environ(), "DISK="+disk, "SECONDS="+strconv.Itoa(seconds))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr

	moved, busy, err := counters(disk)
	if err != nil {
		return result{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("fio: %w: %s%s", err, out, stderr.Bytes())
	}
	movedAfter, busyAfter, err := counters(disk)
	if err != nil {
		return result{}, err
	}

	type side struct {
		IOPS  float64 `json:"iops"`
		Bytes float64 `json:"bw_bytes"`
	}
	var report struct {
		Jobs []struct {
			Error       int
			Read, Write side
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return result{}, fmt.Errorf("fio's report: %w", err)
	}
	if len(report.Jobs) != 1 || report.Jobs[0].Error != 0 {
		return result{}, fmt.Errorf("fio: not one job without error: %s", out)
	}
	j := report.Jobs[0]
	r := result{iops: j.Read.IOPS + j.Write.IOPS, bytes: j.Read.Bytes + j.Write.Bytes}
	if r.iops == 0 || movedAfter == moved {
		return result{}, fmt.Errorf("fio moved nothing")
	}
	// fio's figures leave out its ramp time, the counters do not. So the number of
	// requests follows from the bytes that the disk moved.
	requests := (movedAfter - moved) / (r.bytes / r.iops)
	r.cpu = (busyAfter - busy) / requests
	return r, nil
}

// counters returns how many bytes a disk has moved so far, and how many seconds the
// CPUs were busy.
func counters(disk string) (bytes, cpu float64, err error) {
	stat, err := numbers(filepath.Join("/sys/block", filepath.Base(disk), "stat"), "")
	if err != nil {
		return 0, 0, err
	}
	time, err := numbers("/proc/stat", "cpu ")
	if err != nil {
		return 0, 0, err
	}
	// user, nice, system, idle, iowait, irq, softirq, in hundredths of a second
	return 512 * (stat[2] + stat[6]), (time[0] + time[1] + time[2] + time[5] + time[6]) / 100, nil
}

// numbers returns the numbers in a file's first line, after prefix. It fails if there
// are fewer than seven.
func numbers(path, prefix string) ([]float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var list []float64
	for _, field := range strings.Fields(strings.TrimPrefix(line, prefix)) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, n)
	}
	if len(list) < 7 {
		return nil, fmt.Errorf("%s: %d numbers, want 7 or more", path, len(list))
	}
	return list, nil
}
