package cli

import (
	"fmt"

	"github.com/lunserve/lunserve/hint"
)

// A cacheSize is a size of at least a MiB: a unit that was forgotten would make
// a cache that holds nothing.
type cacheSize int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *cacheSize) UnmarshalText(text []byte) error {
	n, ok := parseSize(string(text))
	switch {
	case !ok:
		return fmt.Errorf("%q is not a size, such as 256M", text)
	case n < 1<<20:
		return hint.Try(fmt.Errorf("%q is %d bytes, less than 1M", text, n), "256M")
	}
	*c = cacheSize(n)
	return nil
}
