package iscsi_test

import (
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// skips are the tests of libiscsi's suite that skip themselves, and why. All others
// must pass.
var skips = map[string]string{
	"ExtendedCopy":           "EXTENDED COPY is not offered",
	"ReceiveCopyResults":     "EXTENDED COPY is not offered",
	"ReadOnly.ReadOnlySBC":   "skips its part about UNMAP, which a disk that cannot be written does not have",
	"Sanitize.CryptoErase":   "there is no key to erase",
	"Sanitize.Readonly":      "skips its part about CRYPTO ERASE",
	"Sanitize.Reservations":  "skips its part about CRYPTO ERASE",
	"StartStopUnit.Simple":   "for removable disks",
	"WriteAtomic16":          "WRITE ATOMIC is not offered",
	"WriteSame10.ZeroBlocks": "WSNZ: WRITE SAME requires a number of blocks",
	"WriteSame16.ZeroBlocks": "WSNZ: WRITE SAME requires a number of blocks",
}

var long = flag.Bool("libiscsi.long", false, "also run resetTest")

// TestLibiscsiSuite runs iscsi-test-cu: each family of tests on a disk of its own,
// several at a time, since some of them sleep for seconds.
func TestLibiscsiSuite(t *testing.T) {
	list, err := exec.Command("iscsi-test-cu", "--list").Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err, "; apt-get install libiscsi-bin")
		}
		t.Skip(err)
	}
	var patterns []string
	for line := range strings.Lines(string(list)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "ALL.")
		family, _, isTest := strings.Cut(name, ".")
		alone := family == "Sanitize" // only one of its tests needs a slow disk
		if ok && isTest == alone && (name != resetTest || *long) {
			patterns = append(patterns, name)
		}
	}
	if len(patterns) < 60 {
		t.Fatalf("%d families and tests", len(patterns))
	}
	for _, name := range patterns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSuite(t, name)
		})
	}
}

// resetTest sleeps for a minute, so only -libiscsi.long and make conformance run it.
const resetTest = "Sanitize.Reset"

var (
	title   = regexp.MustCompile(`(?m)^  Test: (\S+) \.\.\.`)
	verdict = regexp.MustCompile(`(?m)^(passed|FAILED)|\.\.\.(passed|FAILED)`)
)

// runSuite runs a family of tests, or one test of a family.
func runSuite(t *testing.T, name string) {
	family, _, isTest := strings.Cut(name, ".")
	pattern := "ALL." + name
	if !isTest {
		pattern += ".*"
	}
	// The kinds of disks that e2e/conformance has.
	o := scsi.Options{Removable: family == "PreventAllow"}
	if family == "GetLBAStatus" {
		o.BlockSize = 4096
	}
	store := newStore(t, 64<<20, family == "ReadOnly")
	if name == resetTest || family == "iSCSITMF" { // the abort of a write is to come before its end
		store = slowStore{store}
	}
	_, portals := serve(t, iscsi.Options{}, newDisk(store, o))
	args := []string{"-d", "-S", "-v", "-t", pattern}
	for n, p := range portals {
		if n == 0 || family == "MultipathIO" {
			args = append(args, "iscsi://"+p+"/"+targetName+"/0")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, "iscsi-test-cu", args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%v: it did not end", err)
	}
	marks := title.FindAllSubmatchIndex(text, -1)
	if len(marks) == 0 {
		t.Errorf("no test was run: %s", text)
	}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name, body := family+"."+string(text[m[2]:m[3]]), string(text[m[0]:end])
		body, _, _ = strings.Cut(body, "Run Summary:")
		if v := verdict.FindString(body); !strings.Contains(v, "passed") {
			t.Errorf("%s failed:\n%s", name, body)
		}
		if strings.Contains(body, "[SKIPPED]") && skips[family] == "" && skips[name] == "" {
			t.Errorf("%s skips itself:\n%s", name, body)
		}
	}
}

// A slowStore writes about 16 MB/s: tests of SANITIZE and of ABORT TASK expect a write to
// take a while.
type slowStore struct{ backstores.Backstore }

func (s slowStore) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Duration(len(p)) * 60 * time.Nanosecond)
	return s.Backstore.(io.WriterAt).WriteAt(p, off)
}
