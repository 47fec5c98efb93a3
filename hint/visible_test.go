package hint

import (
	"testing"
	"unicode"
)

func TestVisibleEscapesWhatATerminalObeys(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"disk.img: 10 GiB":        "disk.img: 10 GiB",
		"Größe 大小 …µ→é👍 \uFFFD":   "Größe 大小 …µ→é👍 \uFFFD",
		"a\nlunserve: b\r\tc":     `a\nlunserve: b\r\tc`,
		"\x00\x07\x1b[2J\x7f":     `\x00\a\x1b[2J\x7f`,
		"\u0085\u009b31m":         `\u0085\u009b31m`,
		"a\u202egmi\u2066\u200fb": `a\u202egmi\u2066\u200fb`,
		"\u061c\u00ad\u200b\ufeff\u2028\u00a0\U000e0041": `\u061c\u00ad\u200b\ufeff\u2028\u00a0\U000e0041`,
		"p\xe9.img\xff\xc3":  `p\xe9.img\xff\xc3`,
		`C:\x1b is typed so`: `C:\x1b is typed so`,
	} {
		got := Visible(text)
		if got != want {
			t.Errorf("Visible(%q) = %s, want %s", text, got, want)
		}
		if again := Visible(got); again != got {
			t.Errorf("Visible(%q) = %s", got, again)
		}
	}
}

// No character that is not printed as one passes, whatever its block.
func TestVisibleLetsNoControlOrFormatCharacterPass(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		got := Visible(string(r))
		for _, c := range got {
			if unicode.In(c, unicode.C, unicode.Zl, unicode.Zp) || c != ' ' && unicode.Is(unicode.Zs, c) {
				t.Fatalf("Visible(%U) = %q", r, got)
			}
		}
	}
}
