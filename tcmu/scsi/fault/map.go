package fault

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ReadMap returns a rule for the bad areas in a map file of GNU ddrescue: a read of a
// block of blockSize bytes that one of them touches fails until the block is written.
// The format is that of the manual of ddrescue, Mapfile structure: positions and
// sizes in bytes, decimal, hexadecimal or octal. Only areas with the status "-", bad
// sector, are bad: ddrescue has read no sector of the others, or not each alone.
func ReadMap(from io.Reader, blockSize int) (Rule, error) {
	if blockSize <= 0 {
		return Rule{}, fmt.Errorf("the size of the blocks of the disk is not known")
	}
	rule := Rule{Command: Read, Action: Medium}
	lines := bufio.NewScanner(from)
	size := uint64(blockSize)
	n, state := 0, false
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		switch {
		case len(words) == 0:
			continue
		case !state: // current position, status and pass
			state = true
			if _, err := strconv.ParseUint(words[0], 0, 63); err != nil || len(words) < 2 || len(words) > 3 {
				return Rule{}, fmt.Errorf("line %d: not the state of a map of ddrescue", n)
			}
			continue
		}
		if len(words) != 3 || len(words[2]) != 1 || !strings.Contains("?*/-+", words[2]) {
			return Rule{}, fmt.Errorf("line %d: not an area of a map of ddrescue", n)
		}
		at, err := strconv.ParseUint(words[0], 0, 63)
		bytes, err2 := strconv.ParseUint(words[1], 0, 63)
		if err != nil || err2 != nil || at > math.MaxInt64-bytes {
			return Rule{}, fmt.Errorf("line %d: not a position and a size", n)
		}
		if words[2] != "-" || bytes == 0 {
			continue
		}
		if len(rule.Areas) == maxAreas {
			return Rule{}, fmt.Errorf("line %d: more than %d bad areas", n, maxAreas)
		}
		rule.Areas = append(rule.Areas, Area{at / size, (at+bytes-1)/size + 1})
	}
	switch {
	case lines.Err() != nil:
		return Rule{}, lines.Err()
	case !state:
		return Rule{}, fmt.Errorf("not a map of ddrescue")
	case len(rule.Areas) == 0:
		return Rule{}, fmt.Errorf("no bad areas")
	}
	rule.Areas = join(rule.Areas)
	return rule, nil
}
