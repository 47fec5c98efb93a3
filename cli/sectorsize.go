package cli

import "fmt"

// A sectorSize is a logical block size on the command line, such as 4096 or 4K.
type sectorSize int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *sectorSize) UnmarshalText(text []byte) error {
	n, _ := parseSize(string(text))
	if n != 512 && n != 4096 {
		return fmt.Errorf("%q is not 512 or 4096", text)
	}
	*s = sectorSize(n)
	return nil
}
