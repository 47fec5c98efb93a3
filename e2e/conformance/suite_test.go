package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const session = `


     CUnit - A unit testing framework for C - Version 2.1-3
     http://cunit.sourceforge.net/


Suite: Family
  Test: Plain ...passed
  Test: Talks ...    Take out a RESERVE6 from the first initiator
passed
  Test: Late ...passed    [FAILED] PRIN command: failed with sense. SENSE KEY:UNIT_ATTENTION(6)

  Test: Skips ...    [SKIPPED] SANITIZE is not implemented.
    [SKIPPED] And more.
passed
  Test: Fails ...    [FAILED] WRITE16 command failed with status 2
FAILED
    1. test.c:175  - CU_ASSERT_EQUAL(_r,0)
  Test: Asserts ...FAILED
    1. test.c:85  - CU_ASSERT_EQUAL(task->residual_status,SCSI_RESIDUAL_OVERFLOW)
    2. test.c:94  - CU_ASSERT_EQUAL(task->residual,block_size)
`

func TestOutcomesAreReadFromWhatTheSuitePrints(t *testing.T) {
	want := results{
		{"Plain", passed, ""},
		{"Talks", passed, ""},
		{"Late", passed, ""},
		{"Skips", skipped, "SANITIZE is not implemented."},
		{"Fails", failed, "[FAILED] WRITE16 command failed with status 2"},
		{"Asserts", failed, "1. test.c:85  - CU_ASSERT_EQUAL(task->residual_status,SCSI_RESIDUAL_OVERFLOW)"},
	}
	got := parse([]byte(session + "\nRun Summary:    Type  Total    Ran Passed Failed Inactive\n  suites 1 passed\n"))
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if pass, skip, fail := got.count(); pass != 3 || skip != 1 || fail != 2 {
		t.Errorf("counted %d, %d, %d", pass, skip, fail)
	}
}

func TestTestThatDidNotEndFailed(t *testing.T) {
	got := parse([]byte(session + "  Test: Hangs ...    Doing something\nconformance: killed after 1m30s\n"))
	if last := got[len(got)-1]; last != (result{"Hangs", failed, "did not end"}) {
		t.Errorf("got %v", last)
	}
	if got := parse([]byte("Failed to connect\n")); len(got) != 1 || got[0].outcome != failed {
		t.Errorf("nothing run: %v", got)
	}
}

func TestReasonsAreFound(t *testing.T) {
	why, err := parseReasons("# comment\n\nA.B fail  the kernel's\nA skip  no such thing\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		family string
		result
		want string
	}{
		{"A", result{"B", failed, ""}, "the kernel's"},
		{"A", result{"B", skipped, ""}, "no such thing"},
		{"A", result{"C", failed, ""}, ""},
		{"B", result{"B", failed, ""}, ""},
	} {
		if got := why.of(tt.family, tt.result); got != tt.want {
			t.Errorf("%s.%s: %q, want %q", tt.family, tt.test, got, tt.want)
		}
	}
	for _, bad := range []string{"A.B\n", "A.B maybe why\n", "A skip\n"} {
		if _, err := parseReasons(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := parseReasons(reasonsText); err != nil {
		t.Error(err)
	}
}

func TestEachRowIsExplainedOrReported(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lunserve/Family.log":       "  Test: A ...passed\nRun Summary:\n\n    [SKIPPED] x\n  Test: B ...    [FAILED] x|y\nFAILED\n", // of two runs
		"userspace/Family.log":      "  Test: A ...passed\n  Test: B ...FAILED\n",
		"LIO fileio/Family.log":     "  Test: A ...passed\n  Test: B ...passed\n",
		"LIO pscsi/Family.log":      "  Test: B ...FAILED\n",
		"lunserve/ProutClear.log":   "  Test: A ...passed\n",
		"LIO fileio/ProutClear.log": "  Test: A ...    [SKIPPED] x\npassed\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	unexplained, err := r.write(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(unexplained, []string{"Family.B", "Family.B with --userspace"}) {
		t.Errorf("unexplained: %q", unexplained)
	}
	for _, want := range []string{"| Family | 1 | 0 | **1** | 1 | 0 | **1** | 2 | 0 | 0 |", "| ProutClear | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 0 |",
		"| Family.B | fail | fail | pass | fail | ? |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

func TestFamilyThatRunsInCirclesIsStopped(t *testing.T) {
	said := new(bounded)
	cmd := exec.CommandContext(t.Context(), "yes")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err == nil || !said.full || len(said.text) == 0 {
		t.Errorf("%v, %d bytes", err, len(said.text))
	}
}
