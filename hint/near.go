package hint

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Near returns the candidates of which word is likely to be a misspelling, the
// nearest first.
func Near(word string, candidates []string) (near []string) {
	return within(len(word)/3, word, candidates)
}

// NearFiles is Near for the names of files. disk3.img is no misspelling of
// disk2.img, nor vda.img of vdb.img: the digits must be the same, and a single
// change may not be at the end of the name without its extension, whose letters
// do not count for how far is near.
func NearFiles(name string, files []string) []string {
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	return slices.DeleteFunc(within(len(stem)/3, name, files), func(file string) bool {
		return digits(file) != digits(name) || differAtEnd(strings.ToLower(name), strings.ToLower(file))
	})
}

// within returns the candidates that are at most far from word, and at most two.
func within(far int, word string, candidates []string) (near []string) {
	for _, c := range candidates {
		if c != word && apart(word, c) <= min(2, far) {
			near = append(near, c)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(apart(word, a), apart(word, b)) })
	return near
}

// digits returns the digits in name.
func digits(name string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, name)
}

// differAtEnd reports whether a and b differ in one character only, which is
// followed by an extension or, if they have none, by nothing.
func differAtEnd(a, b string) bool {
	extended := strings.Contains(a, ".") && strings.Contains(b, ".")
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	n := 0 // bytes that are the same at the end
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	after := a[len(a)-n:]
	a, b = a[:len(a)-n], b[:len(b)-n]
	one := a != b && utf8.RuneCountInString(a) <= 1 && utf8.RuneCountInString(b) <= 1
	return one && (after == "" && !extended || strings.HasPrefix(after, "."))
}

// apart is the distance of two words, whatever the case of their letters.
func apart(a, b string) int { return distance(strings.ToLower(a), strings.ToLower(b)) }

// distance returns the Damerau-Levenshtein distance: how many letters must be
// added, dropped, changed, or swapped with the next to turn a into b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
