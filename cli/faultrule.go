package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A faultRule is a rule of faults on the command line, or map=FILE.
type faultRule struct {
	fault.Rule
	file string // the map of ddrescue
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *faultRule) UnmarshalText(text []byte) (err error) {
	if file, isMap := strings.CutPrefix(string(text), "map="); isMap {
		if file == "" {
			return errors.New("map= needs the name of a map of ddrescue")
		}
		r.file = file
		return nil
	}
	r.Rule, err = fault.Parse(string(text))
	return err
}

// maxMap is the most that is read of a map, in bytes.
const maxMap = 64 << 20

// read returns the rule, for blocks of a size in bytes.
func (r *faultRule) read(blockSize int) (fault.Rule, error) {
	if r.file == "" {
		return r.Rule, nil
	}
	f, err := os.OpenFile(r.file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return fault.Rule{}, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return fault.Rule{}, errors.Join(err, fmt.Errorf("%s: is not a regular file, which can be read again", r.file))
	}
	rule, err := fault.ReadMap(io.LimitReader(f, maxMap), blockSize)
	if err != nil {
		return fault.Rule{}, fmt.Errorf("%s: %w", r.file, err)
	}
	return rule, nil
}

// readRules returns the rules, for blocks of a size in bytes.
func readRules(all []faultRule, blockSize int) ([]fault.Rule, error) {
	rules := make([]fault.Rule, len(all))
	for i := range all {
		var err error
		if rules[i], err = all[i].read(blockSize); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// withoutHints returns the hints of err, and err without them. A rule that is wrong stays
// what it is: status points at its wrong word.
func withoutHints(err error) ([]hint.Command, error) {
	text, try := hint.Split(err)
	if e, ok := errors.AsType[*fault.SyntaxError](err); ok {
		return try, e
	}
	return try, errors.New(text)
}
