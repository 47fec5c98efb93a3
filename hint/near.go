package hint

import (
	"cmp"
	"slices"
	"strings"
)

// Near returns the candidates of which word is likely to be a misspelling, the
// nearest first.
func Near(word string, candidates []string) (near []string) {
	far := min(2, len(word)/3) // a wrong letter in three, and two at most
	for _, c := range candidates {
		if c != word && apart(word, c) <= far {
			near = append(near, c)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(apart(word, a), apart(word, b)) })
	return near
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
