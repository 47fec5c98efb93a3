package main

import (
	"fmt"
	"strings"
	"testing"
)

// All lines are written, in their order, and nobody waits for that.
func TestTraceIsWhole(t *testing.T) {
	var to, want strings.Builder
	tr := &tracer{to: &to, lines: make(chan string, 4096)}
	for n := range cap(tr.lines) {
		line := fmt.Sprintf("%d READ(10)\n", n)
		tr.lines <- line
		want.WriteString(line)
	}
	close(tr.lines)
	tr.write()
	if to.String() != want.String() || tr.lost.Load() != 0 {
		t.Errorf("written were %d bytes, want %d; lost are %d lines", to.Len(), want.Len(), tr.lost.Load())
	}
}
