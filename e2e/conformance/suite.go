package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// families returns the names of all tests by family.
func families() (tests map[string][]string, err error) {
	list, err := exec.Command("iscsi-test-cu", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("iscsi-test-cu --list: %w; try apt-get install libiscsi-bin", err)
	}
	tests = make(map[string][]string)
	for line := range strings.Lines(string(list)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "ALL."); ok {
			if family, test, ok := strings.Cut(name, "."); ok {
				tests[family] = append(tests[family], test)
			}
		}
	}
	if len(tests) < 40 {
		return nil, fmt.Errorf("iscsi-test-cu --list names %d families", len(tests))
	}
	return tests, nil
}

// runs returns the parts of a family that are run separately: usually one part
// with all tests. Some tests leave a reservation behind, which the kernel keeps
// for a moment after the session, and some never end with LIO pscsi.
func runs(family string, tests []string) []string {
	switch family {
	case "Reserve6", "Sanitize", "iSCSIResiduals":
		return tests
	}
	return []string{"*"}
}

// runFamily runs tests of one family on a target of their own, so that they do not
// affect others, and returns their output.
func runFamily(p peer, dir, family, tests string) (text []byte, err error) {
	k := kindFor(family)
	image, remove, err := newImage(dir, k)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	urls, stop, err := p.serve(image, k)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	if family != "MultipathIO" {
		urls = urls[:1]
	}
	limit := limitFor(family)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// -d and -S allow tests that destroy data and that sanitize; -v is verbose.
	cmd := exec.CommandContext(ctx, "iscsi-test-cu", append([]string{"-d", "-S", "-v", "-t", "ALL." + family + "." + tests}, urls...)...)
	said := new(bounded)
	cmd.Stdout, cmd.Stderr = said, said
	err = cmd.Run()
	text = said.text
	if _, failed := errors.AsType[*exec.ExitError](err); failed || err == errTooMuch {
		err = nil // the text has it
	}
	switch {
	case said.full:
		text = append(text, "\nconformance: killed after too much output\n"...)
	case ctx.Err() != nil:
		text = append(text, fmt.Sprintf("\nconformance: killed after %v\n", limit)...)
	}
	return text, errors.Join(err, stop())
}

// limitFor returns the time limit for a run of a family. iSCSIResiduals takes half a
// second, unless it has to be killed.
func limitFor(family string) time.Duration {
	if family == "iSCSIResiduals" {
		return 10 * time.Second
	}
	return *limit
}

// A bounded is a text of limited length. A write beyond it fails, which stops a test
// that prints in an endless loop.
type bounded struct {
	text []byte
	full bool
}

var errTooMuch = errors.New("too much output")

func (b *bounded) Write(p []byte) (int, error) {
	if b.full = b.full || len(b.text)+len(p) > 1<<20; b.full {
		return 0, errTooMuch
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// A kind is a kind of disk.
type kind int

const (
	ordinary kind = iota
	readOnly
	removable
	bigBlocks // of 4096 bytes, so that a physical block is one logical block
	slow      // as a spinning disk
)

// kindFor returns the kind of disk that a family tests. On others it skips itself.
func kindFor(family string) kind {
	switch family {
	case "ReadOnly":
		return readOnly
	case "PreventAllow":
		return removable
	case "GetLBAStatus": // it takes the next logical block for the next physical one
		return bigBlocks
	case "Sanitize": // it expects an overwrite to run for seconds
		return slow
	}
	return ordinary
}

// A result is that of one test.
type result struct {
	test string
	outcome
	why string // the suite's message, if it did not pass
}

type outcome int

const (
	passed outcome = iota
	skipped
	failed
)

type results []result

func (r results) count() (pass, skip, fail int) {
	var n [3]int
	for _, x := range r {
		n[x.outcome]++
	}
	return n[passed], n[skipped], n[failed]
}

var (
	title     = regexp.MustCompile(`(?m)^  Test: (\S+) \.\.\.`)
	verdict   = regexp.MustCompile(`(?m)^(passed|FAILED)|\.\.\.(passed|FAILED)`)
	complaint = regexp.MustCompile(`(?m)(\[FAILED\].*|^ +\d+\. .*)$`)
)

// parse reads the output of iscsi-test-cu. A test without a verdict did not end, and
// counts as failed.
func parse(text []byte) (r results) {
	marks := title.FindAllSubmatchIndex(text, -1)
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		body, _, _ := bytes.Cut(text[m[0]:end], []byte("Run Summary:")) // another run may follow it
		x := result{test: string(text[m[2]:m[3]])}
		v := verdict.FindSubmatch(body)
		switch {
		case v == nil:
			x.outcome, x.why = failed, "did not end"
		case string(v[1])+string(v[2]) == "FAILED":
			x.outcome = failed
			if c := complaint.FindSubmatch(body); c != nil {
				x.why = strings.TrimSpace(string(c[1]))
			}
		case bytes.Contains(body, []byte("[SKIPPED]")):
			x.outcome = skipped
			_, why, _ := bytes.Cut(body, []byte("[SKIPPED]"))
			why, _, _ = bytes.Cut(why, []byte("\n"))
			x.why = strings.TrimSpace(string(why))
		}
		r = append(r, x)
	}
	if len(r) == 0 {
		r = results{{"(all)", failed, "no test was run"}}
	}
	return r
}
