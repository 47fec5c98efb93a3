package cli

import (
	"fmt"
	"math/big"
	"strings"
)

// A size is a number of bytes on the command line. As to truncate(1) and
// losetup(8), K, Ki and KiB are 1024 and KB is 1000, and so on up to E. Upper and
// lower case are the same; fractions such as 1.5G and a blank before the unit are
// accepted.
type size int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *size) UnmarshalText(text []byte) error {
	n, ok := parseSize(string(text))
	if !ok {
		return fmt.Errorf("%q is not a size, such as 10G", text)
	}
	*s = size(n)
	return nil
}

// parseSize returns the bytes of a size from 1 to 8 EiB - 1.
func parseSize(word string) (int64, bool) {
	suffix := strings.TrimLeft(word, "0123456789.")
	unit, ok := unitBytes(strings.TrimSpace(suffix))
	r, number := new(big.Rat).SetString(word[:len(word)-len(suffix)])
	if !ok || !number || unit == 1 && !r.IsInt() {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(unit))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if n.Sign() <= 0 || !n.IsInt64() {
		return 0, false
	}
	return n.Int64(), true
}

// unitBytes returns the bytes in a unit such as "M", "MiB" or "MB".
func unitBytes(unit string) (n int64, ok bool) {
	unit = strings.ToUpper(unit)
	if unit == "" || unit == "B" {
		return 1, true
	}
	base := int64(1024)
	switch unit[1:] {
	case "", "I", "IB":
	case "B":
		base = 1000
	default:
		return 0, false
	}
	n = 1
	for range 1 + strings.IndexByte("KMGTPE", unit[0]) {
		n *= base
	}
	return n, n > 1
}

// isUnit reports whether a word is a unit, as in --size 10 GB.
func isUnit(word string) bool {
	n, _ := unitBytes(word)
	return n > 1 || strings.EqualFold(word, "B")
}
