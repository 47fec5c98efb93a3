package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The logs are of real runs: one in a virtual machine that its time limit ended, and two
// on a machine without TCM-USER, with CI=true and without.
func TestPageGetsTheResultsOfEachKernel(t *testing.T) {
	const before, after = "before\n<!-- results, from make kernels -->\n", "\n<!-- end of make kernels -->\nafter\n"
	const missing = ": `` /sys/kernel/config/target: does not exist: the kernel has no TCM-USER or no loopback target; try e2e/vm ``\n"
	const want = `| kernel | Debian's package | tested on | passed | failed | skipped |
|---|---|---|--:|--:|--:|
| 6.1.0-48-amd64 | 6.1.172-1 | 2026-11-29 | 1 | 1 | 0 |
| 6.18.1 |  | 2026-11-29 | 0 | 3 | 0 |
| 6.18.1 |  | 2026-11-29 | 1 | 0 | 2 |

On 6.1.0-48-amd64:

* failed ` + "`TestGuardIsNotConfinedAsItsServer`: it did not end, so the tests after it did not start" + `

On 6.18.1:

* failed ` + "`TestGuardIsNotConfinedAsItsServer`" + missing + `* failed ` + "`TestScripts/doctor.txtar`" + missing + `* failed ` + "`TestScripts/watch.txtar`" + missing + `
On 6.18.1:

* skipped ` + "`TestGuardIsNotConfinedAsItsServer`" + missing + `* skipped ` + "`TestScripts/doctor.txtar`" + missing
	page := filepath.Join(t.TempDir(), "kernels.md")
	if err := os.WriteFile(page, []byte(before+"old\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds what the first has written
		if err := report([]string{page, "testdata/failed.json", "testdata/ended.json", "testdata/skipped.json"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != before+want+after {
		t.Errorf("%v\n%s\nwant\n%s", err, got, before+want+after)
	}
}

const start = `{"Action":"output","Output":"2026-11-29, Linux 6.12.1-amd64 #1 SMP Debian 6.12.1-1 (2026-01-01)\n"}` + "\n"

func TestTheCauseOfAFailureIsShown(t *testing.T) {
	for _, tt := range []struct{ output, want string }{
		{`    testscript.go:584: > exec false\n        FAIL: a.txtar:3: unexpected command failure\n`, "FAIL: a.txtar:3: unexpected command failure"},
		{`    x_test.go:1: the cause\n    x_test.go:9: what follows from it\n`, "the cause"},
		{`panic: test timed out after 2h0m0s\n`, "panic: test timed out after 2h0m0s"},
	} {
		r, err := parse(start + `{"Action":"output","Test":"TestX","Output":"` + tt.output + `"}` + "\n" + `{"Action":"fail","Test":"TestX"}` + "\n")
		if err != nil || len(r.tests) != 1 || r.tests[0].reason != "`` "+tt.want+" ``" {
			t.Errorf("%v, %+v; want %s", err, r.tests, tt.want)
		}
	}
}

// A test whose own part fails counts, though those below it pass.
func TestATestWithOthersBelowItCountsIfItFailsAlone(t *testing.T) {
	r, err := parse(start + `{"Action":"run","Test":"TestX"}
{"Action":"pass","Test":"TestX/a"}
{"Action":"output","Test":"TestX","Output":"    x_test.go:9: left behind\n"}
{"Action":"fail","Test":"TestX"}
`)
	if err != nil || len(r.tests) != 2 || r.tests[0] != (test{"TestX", "fail", "`` left behind ``"}) || r.tests[1].result != "pass" {
		t.Errorf("%v, %+v", err, r.tests)
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	for name, log := range map[string]string{
		"not a line":      "ok  github.com/lunserve/lunserve/e2e\n",
		"no line says":    `{"Action":"pass","Test":"TestX"}` + "\n",
		"no test":         start,
		"no line says wh": "",
	} {
		if _, err := parse(log); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%q: %v", log, err)
		}
	}
}

func TestDocsHaveAPlace(t *testing.T) {
	page := filepath.Join(t.TempDir(), "kernels.md")
	text, err := os.ReadFile("../../docs/kernels.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report([]string{page, "testdata/skipped.json"}); err != nil {
		t.Error(err)
	}
}
