package cli

import (
	"bufio"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// A traced command is one in a file of --trace that reads, writes, unmaps or flushes.
type traced struct {
	kind         kindOfTraced
	lun          int
	at           float64 // seconds since the start, when it completed
	first, limit uint64  // blocks, of which limit is the first behind; a flush has none
}

type kindOfTraced int

const (
	reads kindOfTraced = iota
	writes
	unmaps
	flushed
	kindsOfTraced
)

// maxTraced is the number of commands, or extents of UNMAP, that are read of a trace.
// They take 100 MB.
const maxTraced = 2 << 20

// The parts of a line, see serve.tracer: seconds, time, perhaps the LUN, name and
// fields.
var (
	traceLine   = regexp.MustCompile(`^ *([0-9]{1,9}\.[0-9]+) +[0-9]+ µs  (?:LUN ([0-9]{1,3})  )?([A-Z][A-Z -]*)(.*)$`)
	traceBlocks = regexp.MustCompile(`\blba ([0-9]+) blocks ([0-9]+)`)
	traceExtent = regexp.MustCompile(`(?:lba |, )([0-9]+)\+([0-9]+)`)
)

// readTrace returns the commands of a trace, and whether there are more than maxTraced.
// Lines of other kinds, such as messages, do not count.
func readTrace(r io.Reader) (all []traced, more bool, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		all = append(all, parseTraced(in.Text())...)
		if len(all) > maxTraced {
			return all[:maxTraced], true, nil
		}
	}
	return all, false, in.Err()
}

// parseTraced returns the commands of a line: for UNMAP, one for each extent.
func parseTraced(line string) (all []traced) {
	m := traceLine.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	var c traced
	c.at, _ = strconv.ParseFloat(m[1], 64)
	c.lun, _ = strconv.Atoi(m[2])
	name, fields, pattern := m[3], m[4], traceBlocks
	switch {
	case strings.HasPrefix(name, "SYNCHRONIZE CACHE"):
		c.kind = flushed
		return []traced{c}
	case name == "READ":
		c.kind = reads
	case strings.HasPrefix(name, "UNMAP"):
		c.kind, pattern = unmaps, traceExtent
	case strings.HasPrefix(name, "WRITE SAME") && strings.Contains(fields, " unmap"):
		c.kind = unmaps
	case name == "WRITE", strings.HasPrefix(name, "WRITE SAME"), strings.HasPrefix(name, "WRITE AND VERIFY"), strings.HasPrefix(name, "COMPARE AND WRITE"):
		c.kind = writes
	default:
		return nil
	}
	for _, m := range pattern.FindAllStringSubmatch(fields, -1) {
		first, err := strconv.ParseUint(m[1], 10, 63)
		n, err2 := strconv.ParseUint(m[2], 10, 63)
		if err == nil && err2 == nil && n > 0 {
			c.first, c.limit = first, first+n
			all = append(all, c)
		}
	}
	return all
}
