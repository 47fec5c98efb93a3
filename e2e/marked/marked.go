// Package marked replaces the parts of a page that a target of the Makefile writes.
package marked

import (
	"fmt"
	"strings"
)

// Fill returns the page with text in place of what is between the two marks of this
// part and target.
func Fill(page, part, target, text string) (string, error) {
	begin := fmt.Sprintf("<!-- %s, from make %s -->\n", part, target)
	end := fmt.Sprintf("\n<!-- end of make %s -->\n", target)
	before, rest, marked := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !marked || !ended {
		return "", fmt.Errorf("no place is marked by %s", strings.TrimSpace(begin))
	}
	return before + begin + text + end + after, nil
}
