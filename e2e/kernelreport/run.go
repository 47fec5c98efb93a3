package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A run is one of the tests on one kernel.
type run struct {
	date, release, debian string
	tests                 []test // in the order of their starts
}

// A test is one that has no tests below it, or fails though they pass.
type test struct {
	name   string
	result string // "pass", "fail" or "skip"
	reason string // why it did not pass
}

// An event is a line of go test -json.
type event struct{ Action, Test, Output string }

var (
	// kernel matches the line that the tests print first.
	kernel = regexp.MustCompile(`^(\d{4}-\d\d-\d\d), Linux (\S+) (.*)`)
	debian = regexp.MustCompile(`Debian (\S+)`)
	// message matches a line of t.Log and the like.
	message = regexp.MustCompile(`^\s*\S+\.go:\d+: (.+)`)
)

// parse reads a log. A test that has not ended has failed.
func parse(log string) (run, error) {
	var r run
	results, output := map[string]string{}, map[string]string{}
	var names []string
	for line := range strings.Lines(log) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return r, fmt.Errorf("not a line of go test -json: %.60q", line)
		}
		if m := kernel.FindStringSubmatch(e.Output); m != nil && r.release == "" {
			r.date, r.release = m[1], m[2]
			if version := debian.FindStringSubmatch(m[3]); version != nil {
				r.debian = version[1]
			}
		}
		if e.Test == "" {
			continue
		}
		if !slices.Contains(names, e.Test) {
			names = append(names, e.Test)
		}
		switch e.Action {
		case "pass", "fail", "skip":
			results[e.Test] = e.Action
		case "output":
			output[e.Test] += e.Output
		}
	}
	switch {
	case r.release == "":
		return r, errors.New("no line says which kernel ran the tests")
	case len(names) == 0:
		return r, errors.New("no test in it")
	}
	bad := func(name string) bool { return results[name] != "pass" && results[name] != "skip" }
	for _, name := range names {
		below := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return !strings.HasPrefix(s, name+"/") })
		switch result := results[name]; {
		case len(below) > 0 && (!bad(name) || slices.ContainsFunc(below, bad)): // those below count
		case result == "":
			r.tests = append(r.tests, test{name, "fail", "it did not end, so the tests after it did not start"})
		default:
			r.tests = append(r.tests, test{name, result, reason(result, output[name])})
		}
	}
	return r, nil
}

// reason returns why a test did not pass: the last message of a skip; the first of a
// failure, unless a script or a panic names the cause.
func reason(result, output string) string {
	var messages []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if result == "fail" && (strings.HasPrefix(line, "FAIL: ") || strings.HasPrefix(line, "panic: ")) {
			return tidy(line)
		}
		if m := message.FindStringSubmatch(line); m != nil {
			messages = append(messages, m[1])
		}
	}
	switch {
	case result == "pass":
		return ""
	case len(messages) == 0:
		return "no message"
	case result == "skip":
		return tidy(messages[len(messages)-1])
	default:
		return tidy(messages[0])
	}
}

// tidy returns a message as code on the page, not too long for a line of a list.
func tidy(s string) string {
	const most = 160
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return "`` " + s + " ``"
}

// numbers are those in a release, by which 6.12 is later than 6.1.
func numbers(release string) (all []int) {
	for _, s := range strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(s)
		all = append(all, n)
	}
	return all
}
