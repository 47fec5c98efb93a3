package cli

import (
	"fmt"
	"strconv"

	"github.com/lunserve/lunserve/serve"
)

// partFlags choose the part of an image that is served.
type partFlags struct {
	Partition ordinal `placeholder:"N" help:"Serve only partition N of the image, as a disk without a partition table."`
	Offset    offset  `placeholder:"SIZE" help:"Serve the image from this byte on."`
	SizeLimit size    `name:"sizelimit" placeholder:"SIZE" help:"Serve at most this many bytes of the image."`
}

func (f *partFlags) part() serve.Part {
	return serve.Part{Partition: int(f.Partition), Offset: int64(f.Offset), Limit: int64(f.SizeLimit)}
}

// check refuses parts that contradict each other.
func (f *partFlags) check(images int) error {
	p := f.part()
	switch {
	case p == serve.Part{}:
		return nil
	case p.Partition > 0 && (p.Offset > 0 || p.Limit > 0):
		return misuse("--partition says where the part begins and ends; leave out --offset and --sizelimit")
	case images > 1:
		return misuse("--partition, --offset and --sizelimit are for one image, not %d", images)
	}
	return nil
}

// An ordinal is the number of a partition on the command line.
type ordinal int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *ordinal) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not the number of a partition, such as 1", text)
	}
	*o = ordinal(n)
	return nil
}

// An offset is a size on the command line that may be 0.
type offset int64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *offset) UnmarshalText(text []byte) error {
	n, ok := parseSize(string(text))
	if !ok && string(text) != "0" {
		return fmt.Errorf("%q is not an offset, such as 1M", text)
	}
	*o = offset(n)
	return nil
}
