package cli

import (
	"fmt"
	"strconv"

	"github.com/lunserve/lunserve/hint"
)

// A packLevel is a compression level.
type packLevel int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *packLevel) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > 19 {
		return hint.Try(fmt.Errorf("%q is not a level from 1 to 19", text), "3")
	}
	*l = packLevel(n)
	return nil
}
