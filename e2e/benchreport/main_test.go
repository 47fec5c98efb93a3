package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The sample is the output of a run on a real kernel.
func TestPageGetsTheTablesAndAChart(t *testing.T) {
	sample, err := os.ReadFile("testdata/bench.txt")
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "performance.md")
	const mark, end = "<!-- instructions, from make bench -->\n", "\n<!-- end of make bench -->\n"
	if err := os.WriteFile(page, []byte("before\n"+mark+"old\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	noise := "goos: linux\nBenchmarkX 1\n| not | a table |\n"
	for range 2 { // the second finds what the first has written
		if err := report([]string{page}, bytes.NewReader([]byte(noise+string(sample)+noise))); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != "before\n"+mark+string(sample)+end+"after\n" {
		t.Errorf("%v\n%s", err, got)
	}
	chart, err := os.ReadFile(filepath.Join(filepath.Dir(page), "performance.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{">lunserve</text>", ">loop device</text>", ">1M write QD4</text>", ">0.57</text>", ">1.61</text>"} {
		if !strings.Contains(string(chart), part) {
			t.Errorf("the chart has no %s:\n%s", part, chart)
		}
	}
	if err := report([]string{page}, strings.NewReader("nothing")); err == nil {
		t.Error("output without a table is taken")
	}
}

// The page in docs has a place for each kind of table.
func TestPageHasPlaces(t *testing.T) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if _, err := fill(string(page), []table{{kind: k.kind}}); err != nil {
			t.Error(err)
		}
	}
}

// The tables of packbench and urlbench have kinds too. Lines between tables have none.
func TestTablesHaveKinds(t *testing.T) {
	const rows = "\n| job | time | |\n|---|---|---|\n| a | 1 s (2 s) | |\n"
	var text string
	for _, head := range []string{"packed images; x", "qcow2 images; x", "sizes of frames; x", "images at a URL; 156 reads"} {
		text += "noise\n\n2026-11-29, 2 CPUs: " + head + "\n" + rows
	}
	var got []string
	for _, table := range parse(text) {
		got = append(got, table.kind)
	}
	if want := []string{"packed images", "qcow2 images", "images at a URL"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
