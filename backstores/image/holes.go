package image

import (
	"context"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
)

// Holes returns how many bytes of b are holes, or that this is not known: if it would
// take long, as in a qcow2 image that claims a large disk. It ends when ctx is done.
func Holes(ctx context.Context, b backstores.Backstore) (n int64, known bool, err error) {
	q, _ := b.(*qcow2Image)
	looked := int64(0)
	for off := int64(0); off < b.Size(); {
		k, data, err := backstores.Extent(b, off)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, false, err
		}
		if q != nil {
			if looked += q.Looked(k); looked > qcow2.MaxLooked {
				return 0, false, nil
			}
		}
		if !data {
			n += k
		}
		off += k
	}
	return n, true, nil
}
