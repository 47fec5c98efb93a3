package main

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A report is the results of all tests, by peer and family.
type report map[string]map[string]results

// read makes a report from the logs in dir, PEER/FAMILY.log.
func read(dir string) (report, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*/*.log"))
	if err != nil {
		return nil, err
	}
	r := make(report)
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return nil, err
		}
		peer := filepath.Base(filepath.Dir(log))
		if r[peer] == nil {
			r[peer] = make(map[string]results)
		}
		r[peer][strings.TrimSuffix(filepath.Base(log), ".log")] = parse(text)
	}
	return r, nil
}

// kernels reports whether the kernel itself executes the commands that a family
// tests.
func kernels(family string) bool {
	for _, prefix := range []string{"Prin", "Prout", "Reserve", "iSCSI"} {
		if strings.HasPrefix(family, prefix) {
			return true
		}
	}
	return false
}

const preface = `# Conformance

Written by ` + "`make conformance`" + `: %s against lunserve's disks, with the kernel's target
and with --userspace, and against LIO fileio, the kernel's own, on Linux %s in the same boot. A test that reports that it skipped itself counts as SKIP. Every family gets a new disk of 64 MiB.
Some need a special one:

* ReadOnly: a write-protected disk.
* PreventAllow: a removable disk (LIO has none).
* MultipathIO: a disk with two portals.
* GetLBAStatus: a disk with 4096-byte blocks, since the test takes the next logical block for the next physical one.
* Sanitize: a disk on a device that writes 8 MB a second, since the test expects an overwrite to run for seconds.

Each test of Sanitize, Reserve6 and iSCSIResiduals has a disk of its own: the kernel keeps a reservation for a moment
after its session has ended, which would affect the next test, and some tests never end with LIO pscsi.
`

const aside = `
The kernel itself executes the commands of fileio. LIO pscsi is the kernel's backstore that passes all commands on, here
to a disk of QEMU's. It is shown where a failure is caused by the kernel before it passes a command on. It fails the same
tests of iSCSIResiduals as lunserve: the writing tests by nearly all of the same comparisons, the reading tests because
it never answers a READ for which the initiator expects no data.
`

// others are the peers shown beside lunserve in the list of tests that it does not
// pass.
var others = []string{lunserve{userspace: true}.name(), fileio{}.name(), pscsi{}.name()}

// write writes the report in Markdown. It returns the tests that lunserve did not
// pass, with the kernel's target or with --userspace, and that have no reason.
func (r report) write(w io.Writer) (unexplained []string, err error) {
	reasons, err := parseReasons(reasonsText)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w, preface, suite(), release())

	ours, direct, theirs := r[lunserve{}.name()], r[lunserve{userspace: true}.name()], r[fileio{}.name()]
	var rows [2][]string // families that lunserve executes, and those that the kernel does
	for _, family := range slices.Sorted(maps.Keys(ours)) {
		n := 0
		if kernels(family) {
			n = 1
		}
		rows[n] = append(rows[n], family)
	}
	table := func(families []string) {
		fmt.Fprint(w, "\n| family | PASS | SKIP | FAIL | --userspace: PASS | SKIP | FAIL | LIO fileio: PASS | SKIP | FAIL |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
		var sum [9]int
		for _, family := range families {
			var n [9]int
			n[0], n[1], n[2] = ours[family].count()
			n[3], n[4], n[5] = direct[family].count()
			n[6], n[7], n[8] = theirs[family].count()
			for i := range sum {
				sum[i] += n[i]
			}
			fmt.Fprintf(w, "| %s |%s\n", family, cells(n))
		}
		fmt.Fprintf(w, "| **all** |%s\n", cells(sum))
	}
	fmt.Fprint(w, "\n## Families whose commands reach lunserve\n")
	table(rows[0])
	fmt.Fprint(w, "\n## Families that the kernel answers\n\nReservations and iSCSI itself: lunserve sees none of these commands, or not what they are about, unless it is the target (--userspace).\n")
	table(rows[1])

	fmt.Fprint(w, aside)
	fmt.Fprint(w, "\n## What lunserve does not pass\n\n| test | | userspace | LIO fileio | LIO pscsi | reason |\n|---|---|---|---|---|---|\n")
	for _, family := range append(rows[0], rows[1]...) {
		for _, x := range ours[family] {
			if x.outcome == passed {
				continue
			}
			why := reasons.of(family, x)
			if why == "" {
				unexplained = append(unexplained, family+"."+x.test)
				why = "?"
			}
			fmt.Fprintf(w, "| %s.%s | %s |", family, x.test, x.outcome)
			for _, peer := range others {
				beside := "-"
				if i := slices.IndexFunc(r[peer][family], func(y result) bool { return y.test == x.test }); i >= 0 {
					beside = r[peer][family][i].outcome.String()
				}
				fmt.Fprintf(w, " %s |", beside)
			}
			fmt.Fprintf(w, " %s |\n", why)
		}
	}
	for _, family := range slices.Sorted(maps.Keys(direct)) {
		for _, x := range direct[family] {
			if x.outcome == failed || x.outcome == skipped && reasons.of(family, x) == "" {
				unexplained = append(unexplained, family+"."+x.test+" with --userspace")
			}
		}
	}
	return unexplained, nil
}

// cells returns the numbers of a row, failures in bold.
func cells(n [9]int) string {
	var b strings.Builder
	for i, v := range n {
		if i%3 == 2 && v > 0 {
			fmt.Fprintf(&b, " **%d** |", v)
		} else {
			fmt.Fprintf(&b, " %d |", v)
		}
	}
	return b.String()
}

func (o outcome) String() string { return [...]string{"pass", "skip", "fail"}[o] }

// suite returns the name and version of the test suite.
func suite() string {
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "libiscsi-bin").Output()
	if err != nil {
		return "iscsi-test-cu"
	}
	return "iscsi-test-cu of libiscsi " + string(version)
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}

//go:embed reasons.txt
var reasonsText string

// reasons are why a test or a family is skipped or fails, by "FAMILY[.TEST] OUTCOME".
type reasons map[string]string

var reasonLine = regexp.MustCompile(`^(\w+(?:\.[\w-]+)?) +(skip|fail) +(\S.*)$`)

func parseReasons(text string) (reasons, error) {
	r := make(reasons)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := reasonLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("reasons.txt: %q: not FAMILY[.TEST] skip|fail REASON", line)
		}
		r[m[1]+" "+m[2]] = m[3]
	}
	return r, nil
}

// of returns the reason for a result, or "".
func (r reasons) of(family string, x result) string {
	for _, key := range []string{family + "." + x.test, family} {
		if why := r[key+" "+x.outcome.String()]; why != "" {
			return why
		}
	}
	return ""
}
