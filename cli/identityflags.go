package cli

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/serve"
)

// identityFlags say what initiators find out about the disks.
type identityFlags struct {
	Vendor            vendorID  `placeholder:"TEXT" help:"Vendor of the disks, at most 8 characters of ASCII."`
	Product           productID `placeholder:"TEXT" help:"Model of the disks, at most 16 characters."`
	Revision          revision  `placeholder:"TEXT" help:"Revision of the disks, at most 4 characters."`
	Serial            serial    `placeholder:"TEXT" help:"Serial number of the only disk, at most 32 characters. By default it and the WWN are derived from this machine and the image."`
	WWN               wwn       `name:"wwn" placeholder:"NAA" help:"World wide name of the only disk: 16 hex digits that begin with 2, 3 or 5, or 32 that begin with 6. Initiators take two disks with the same name for two paths to one disk."`
	Rotational        bool      `help:"Present a disk that rotates, with 7200 rpm."`
	NoWriteCache      bool      `help:"Present a disk without a volatile write cache: each write is durable when it completes."`
	PhysicalBlockSize blockSize `default:"4096" placeholder:"SIZE" not:"cdrom" help:"Physical block size: a power of two from the logical block size to 64K."`
}

func (f *identityFlags) identity() serve.Identity {
	return serve.Identity{
		Vendor: string(f.Vendor), Product: string(f.Product), Revision: string(f.Revision), Serial: string(f.Serial), NAA: string(f.WWN),
		Rotational: f.Rotational, WriteThrough: f.NoWriteCache, PhysicalBlock: int(f.PhysicalBlockSize),
	}
}

// check refuses what disks of this number and size of blocks cannot be.
func (f *identityFlags) check(disks int, logical sectorSize) error {
	switch {
	case disks > 1 && (f.Serial != "" || f.WWN != ""):
		return misuse("--serial and --wwn are for one disk, not %d", disks)
	case int(f.PhysicalBlockSize) < int(logical):
		return misuse("--physical-block-size is less than --sector-size, %d", logical)
	}
	return nil
}

// These are fields of INQUIRY data on the command line (SPC-5, Standard INQUIRY data).
type (
	vendorID  string
	productID string
	revision  string
	serial    string
)

func (s *vendorID) UnmarshalText(text []byte) error  { return field((*string)(s), text, 8) }
func (s *productID) UnmarshalText(text []byte) error { return field((*string)(s), text, 16) }
func (s *revision) UnmarshalText(text []byte) error  { return field((*string)(s), text, 4) }
func (s *serial) UnmarshalText(text []byte) error    { return field((*string)(s), text, 32) }

// field takes up to n graphic characters of ASCII. Blanks pad fields, so none is first
// or last.
func field(to *string, text []byte, n int) error {
	*to = string(text)
	notASCII := func(c byte) bool { return c < ' ' || c > '~' }
	if len(text) == 0 || len(text) > n || slices.ContainsFunc(text, notASCII) || strings.TrimSpace(*to) != *to {
		return fmt.Errorf("%q is not 1 to %d characters of ASCII without blanks around them", text, n)
	}
	return nil
}

// A wwn is the digits of an NAA identifier on the command line (SPC-5, NAA designator
// format).
type wwn string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *wwn) UnmarshalText(text []byte) error {
	digits := strings.ToLower(string(text))
	for _, prefix := range []string{"naa.", "0x", "wwn-0x"} { // of the kernel, lsblk and udev
		digits = strings.TrimPrefix(digits, prefix)
	}
	kinds := map[int]string{16: "235", 32: "6"}[len(digits)]
	if _, err := hex.DecodeString(digits); err != nil || kinds == "" || !strings.Contains(kinds, digits[:1]) {
		return fmt.Errorf("%q is not 16 hex digits that begin with 2, 3 or 5, or 32 that begin with 6", text)
	}
	*w = wwn(digits)
	return nil
}

// A blockSize is a physical block size on the command line, in bytes.
type blockSize int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *blockSize) UnmarshalText(text []byte) error {
	n, _ := parseSize(string(text))
	if n < 512 || n > 64<<10 || n&(n-1) != 0 {
		return fmt.Errorf("%q is not a power of two from 512 to 64K", text)
	}
	*b = blockSize(n)
	return nil
}
