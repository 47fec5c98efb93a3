package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/serve/console"
)

func TestTraceHasAllLinesInOrder(t *testing.T) {
	var to, want strings.Builder
	w := console.NewWriter(&to)
	tr := &tracer{to: w, lines: make(chan string, 4096)}
	for n := range cap(tr.lines) {
		line := fmt.Sprintf("%d READ(10)", n)
		tr.lines <- line
		want.WriteString(line + "\n")
	}
	close(tr.lines)
	tr.write()
	w.Close()
	if to.String() != want.String() || tr.dropped.Load() != 0 {
		t.Errorf("%d bytes were written, want %d; %d lines were dropped", to.Len(), want.Len(), tr.dropped.Load())
	}
}
