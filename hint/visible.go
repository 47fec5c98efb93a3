package hint

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Visible returns text with an escape in place of each character that would
// move, reorder or hide what a terminal or a log shows:
//
//	\n \t \x1b \x7f \u009b \u202e \U000e0041 \xe9
//
// These are the characters that [strconv.IsPrint] rejects (controls, among them
// C1, bidirectional and other format characters, separators other than the
// space, unassigned ones) and bytes that are not UTF-8. A backslash stays as it
// is: text that is visible does not change.
func Visible(text string) string {
	i := 0
	for i < len(text) && ' ' <= text[i] && text[i] < 0x7f {
		i++
	}
	if i == len(text) {
		return text
	}
	var b strings.Builder
	b.WriteString(text[:i])
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case strconv.IsPrint(r):
			b.WriteString(text[i : i+n])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		i += n
	}
	return b.String()
}
