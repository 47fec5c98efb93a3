package serve

import (
	"fmt"
	"strings"
	"testing"
)

func TestTraceHasAllLinesInOrder(t *testing.T) {
	var to, want strings.Builder
	tr := &tracer{to: &to, lines: make(chan string, 4096)}
	for n := range cap(tr.lines) {
		line := fmt.Sprintf("%d READ(10)\n", n)
		tr.lines <- line
		want.WriteString(line)
	}
	close(tr.lines)
	tr.write()
	if to.String() != want.String() || tr.dropped.Load() != 0 {
		t.Errorf("%d bytes were written, want %d; %d lines were dropped", to.Len(), want.Len(), tr.dropped.Load())
	}
}
