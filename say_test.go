package main

import (
	"strings"
	"testing"
)

// What is said appears above the line that is drawn again and again, whole.
func TestLinesDoNotMixWithTheFoot(t *testing.T) {
	var out strings.Builder
	s := screen{out: newOutlet(&out), prefix: "lunserve: "}
	s.below("12 reads")
	s.below("13 reads")
	s.print("hello")
	s.Write([]byte("trace\n"))
	s.below("")
	s.print("bye")
	want := "\r12 reads\x1b[K" +
		"\r13 reads\x1b[K" +
		"\r\x1b[K\rlunserve: hello\n\r13 reads\x1b[K" +
		"\r\x1b[K\rtrace\n\r13 reads\x1b[K" +
		"\r\x1b[K\r" +
		"lunserve: bye\n"
	if got := out.String(); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}
