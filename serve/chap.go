package serve

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lunserve/lunserve/configfs"
)

// parseCHAP parses the text of a file of CHAP secrets: two or four lines, each
// of them one value, taken verbatim. Of what editors add and do not show, the
// byte order mark and CR LF of Windows do not count, and blanks at the ends of a
// line are refused. The errors contain no value.
func parseCHAP(text string) (*configfs.CHAP, error) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\uFEFF"), "\r\n", "\n")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) != 2 && len(lines) != 4 {
		return nil, fmt.Errorf("has %d lines; it needs two, a user name and a secret, or four for mutual CHAP", len(lines))
	}
	for i, line := range lines {
		if strings.TrimSpace(line) != line {
			return nil, fmt.Errorf("line %d begins or ends with a blank, which would be part of the value; remove it", i+1)
		}
	}
	c := &configfs.CHAP{User: lines[0], Secret: lines[1]}
	if len(lines) == 4 {
		c.MutualUser, c.MutualSecret = lines[2], lines[3]
		if c.MutualUser == "" || c.MutualSecret == "" {
			return nil, errors.New("lines 3 and 4 must not be empty")
		}
	}
	return c, c.Check()
}
