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
		if ok, _ := regexp.MatchString(*only, m[1]); ok && m[1] != "global" {
			names = append(names, m[1])
		}
	}
	return names
}

// A result is that of one run of one job.
type result struct {
	iops  float64
	bytes float64 // a second
	// Of the whole machine for each request: fio, kernel and daemon.
	cpu      float64 // CPU seconds
	switches float64 // context switches
}

// fio runs one job of jobs.fio on a disk.
func fio(job, disk string, seconds int) (result, error) {
	cmd := exec.Command("fio", "--output-format=json", "--section="+job, "-")
	cmd.Stdin = strings.NewReader(jobFile)
	cmd.Env = append(os.Environ(), "DISK="+disk, "SECONDS="+strconv.Itoa(seconds))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr

	before, err := count(disk)
	if err != nil {
		return result{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("fio: %w: %s%s", err, out, stderr.Bytes())
	}
	after, err := count(disk)
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
	if r.iops == 0 || after.bytes == before.bytes {
		return result{}, fmt.Errorf("fio moved nothing")
	}
	// fio's figures leave out its ramp time, the counters do not. So the number of
	// requests follows from the bytes that the disk moved.
	requests := (after.bytes - before.bytes) / (r.bytes / r.iops)
	r.cpu = (after.cpu - before.cpu) / requests
	r.switches = (after.switches - before.switches) / requests
	return r, nil
}

// counts are the kernel's so far.
type counts struct {
	bytes    float64 // that the disk moved
	cpu      float64 // seconds that the CPUs were busy
	switches float64
}

func count(disk string) (counts, error) {
	stat, err := numbers(filepath.Join("/sys/block", filepath.Base(disk), "stat"), "", 7)
	if err != nil {
		return counts{}, err
	}
	time, err := numbers("/proc/stat", "cpu ", 7)
	if err != nil {
		return counts{}, err
	}
	switches, err := numbers("/proc/stat", "ctxt ", 1)
	if err != nil {
		return counts{}, err
	}
	return counts{
		bytes: 512 * (stat[2] + stat[6]),
		// user, nice, system, idle, iowait, irq, softirq, in hundredths of a second
		cpu:      (time[0] + time[1] + time[2] + time[5] + time[6]) / 100,
		switches: switches[0],
	}, nil
}

// numbers returns the numbers in the first line of a file that has the prefix. It fails
// if there are fewer than least.
func numbers(path, prefix string, least int) ([]float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []float64
	for line := range strings.Lines(string(b)) {
		rest, has := strings.CutPrefix(line, prefix)
		if !has {
			continue
		}
		for _, field := range strings.Fields(rest) {
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			list = append(list, n)
		}
		break
	}
	if len(list) < least {
		return nil, fmt.Errorf("%s: %d numbers after %q, want %d or more", path, len(list), prefix, least)
	}
	return list, nil
}
