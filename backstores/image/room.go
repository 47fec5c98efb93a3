package image

import (
	"context"
	"fmt"
	"io"

	"github.com/lunserve/lunserve/backstores"
)

// An image is not refused for its size: what it unpacks to may be mostly zeros,
// and those take no space. Package raw stops a write that goes too far. Before
// the first write only that is counted which is certain to be data:
//
//   - In an Android sparse image, the chunks that are not left out.
//   - In a zstd file, no more than it stores for frames that may be data, since a
//     compressor stores zeros in next to nothing.
//   - In a raw image nothing: blocks with zeros look like any others.

// Reserve passes on what [raw.Output.Reserve] returns.
func (c ctxWriter) Reserve(n int64) error { return reserve(c.w, n) }

// reserve returns an error if w is for a file that cannot hold n bytes.
func reserve(w io.WriterAt, n int64) error {
	if r, ok := w.(interface{ Reserve(int64) error }); ok {
		return r.Reserve(n)
	}
	return nil
}

// leastData returns how many bytes of s are certain to be data.
func leastData(ctx context.Context, s backstores.Backstore) (int64, error) {
	switch s := s.(type) {
	case *zstdImage:
		return s.file.scan.StoredData(), nil
	case *simg:
		return dataBytes(ctx, s)
	}
	return 0, nil
}

// leastData returns how many bytes of what f decodes to are certain to be data.
// A block of 128 KiB that holds zeros is stored in 4 to 32 bytes.
func (f *zstdFile) leastData() int64 {
	size := f.info.Size // 0 if unknown
	return max(0, min(f.size, size)-size/4096)
}

// dataBytes returns how many bytes of s are not in holes. It ends when ctx is done.
func dataBytes(ctx context.Context, s backstores.Backstore) (n int64, err error) {
	for off := int64(0); off < s.Size(); {
		k, data, err := backstores.Extent(s, off)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		if k <= 0 {
			return 0, fmt.Errorf("extent of %d bytes at %d", k, off)
		}
		if data {
			n += k
		}
		off += k
	}
	return n, nil
}
