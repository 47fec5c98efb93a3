package cli

import (
	"fmt"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// An interval is a time on the command line, such as 10s or 1m30s.
type interval time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (i *interval) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	switch {
	case err == nil && d > 0:
		*i = interval(d)
		return nil
	case err == nil:
		return fmt.Errorf("%q is not above 0", text)
	}
	better := string(text) + "s" // 5
	if d, err := time.ParseDuration(better); err != nil || d <= 0 {
		better = "10s"
	}
	return hint.Try(fmt.Errorf("%q is not a time with a unit", text), better)
}
