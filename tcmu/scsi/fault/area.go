package fault

import (
	"cmp"
	"fmt"
	"slices"
)

// An Area is a range of blocks.
type Area struct {
	First, End uint64 // End is not part of it
}

func (a Area) String() string { return fmt.Sprintf("%d+%d", a.First, a.End-a.First) }

// maxAreas is how many areas a rule may have.
const maxAreas = 1 << 16

// areas are sorted and do not touch each other.
type areas []Area

// join sorts areas and joins those that overlap or touch.
func join(all []Area) areas {
	slices.SortFunc(all, func(a, b Area) int { return cmp.Compare(a.First, b.First) })
	joined := all[:0]
	for _, a := range all {
		if n := len(joined); n > 0 && a.First <= joined[n-1].End {
			joined[n-1].End = max(joined[n-1].End, a.End)
		} else {
			joined = append(joined, a)
		}
	}
	return slices.Clip(joined)
}

// from returns the index of the first area that ends after a block.
func (s areas) from(lba uint64) int {
	i, _ := slices.BinarySearchFunc(s, lba, func(a Area, lba uint64) int {
		if a.End > lba {
			return 1
		}
		return -1
	})
	return i
}

// first returns the first block of a that is in s.
func (s areas) first(a Area) (lba uint64, found bool) {
	if i := s.from(a.First); i < len(s) && s[i].First < a.End && a.First < a.End {
		return max(a.First, s[i].First), true
	}
	return 0, false
}

// without returns s without a. It may use the memory of s. If that would be too many
// areas, the smaller part of the one that a divides goes with it.
func (s areas) without(a Area) areas {
	i := s.from(a.First)
	if i == len(s) || s[i].First >= a.End || a.First >= a.End {
		return s
	}
	k := i // the first area after a
	for k < len(s) && s[k].First < a.End {
		k++
	}
	rest := make([]Area, 0, 2)
	if before := (Area{s[i].First, a.First}); before.First < before.End {
		rest = append(rest, before)
	}
	if after := (Area{a.End, s[k-1].End}); after.First < after.End {
		rest = append(rest, after)
	}
	if len(s)-(k-i)+len(rest) > maxAreas {
		smaller := 0
		if rest[1].End-rest[1].First < rest[0].End-rest[0].First {
			smaller = 1
		}
		rest = slices.Delete(rest, smaller, smaller+1)
	}
	return slices.Replace(s, i, k, rest...)
}
