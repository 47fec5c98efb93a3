package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/serve/console"
)

func TestTraceHasAllLinesInOrder(t *testing.T) {
	var to, want strings.Builder
	tr := &tracer{to: console.NewPrinter(&to), lines: make(chan string, 4096)}
	for n := range cap(tr.lines) {
		line := fmt.Sprintf("%d READ(10)", n)
		tr.lines <- line
		want.WriteString(line + "\n")
	}
	close(tr.lines)
	tr.write()
	if to.String() != want.String() || tr.dropped.Load() != 0 {
		t.Errorf("%d bytes were written, want %d; %d lines were dropped", to.Len(), want.Len(), tr.dropped.Load())
	}
}
