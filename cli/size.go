package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/hint"
)

// A size is a number of bytes on the command line. 10G, 10GB and 10GiB are the
// same, all in powers of 1024. (To truncate(1), 10GB is a power of 1000.)
type size int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *size) UnmarshalText(text []byte) error {
	number := strings.ToUpper(strings.TrimSpace(string(text)))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "B"), "I")
	if strings.ContainsAny(number[max(0, len(number)-1):], "KMGTPE") {
		number += "iB"
	}
	n, err := humanize.ParseBytes(number)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return hint.Try(fmt.Errorf("%q is not a size", text), "10G")
	}
	*s = size(n)
	return nil
}
