package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/serve/console"
)

// Why it ended is told where all is told: in the background that is the
// system's log.
func TestOutcomeIsToldOnTheConsole(t *testing.T) {
	var told strings.Builder
	stderr := con
	con = console.New(&told, "lunserve")
	defer func() { con = stderr }()
	for _, tt := range []struct {
		err    error
		status exitStatus
		told   string
	}{
		{nil, 0, ""},
		{exitStatus(7), 7, ""},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "lunserve: a; also b\n"},
		{misuse("no"), 2, "lunserve: no\n"},
	} {
		told.Reset()
		if status := outcome(tt.err); status != tt.status || told.String() != tt.told {
			t.Errorf("outcome(%v) = %d, told is %q; want %d, %q", tt.err, status, told.String(), tt.status, tt.told)
		}
	}
}
