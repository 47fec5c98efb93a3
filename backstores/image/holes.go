package image

import (
	"context"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A Layout says where the data of a disk is.
type Layout struct {
	Holes int64   // bytes that are holes
	Data  []int64 // bytes of data in each of as many parts of the disk, which are equal but for a byte
}

// Part returns where a part begins on a disk of size bytes; that with the number of
// parts is the end.
func (l *Layout) Part(i int, size int64) int64 {
	n := int64(len(l.Data))
	return size/n*int64(i) + size%n*int64(i)/n
}

// ReadLayout returns where the data of b is, in this many parts, or that this is not
// known: if it would take long, as in a qcow2 image that claims a large disk. It ends
// when ctx is done.
func ReadLayout(ctx context.Context, b backstores.Backstore, parts int) (l *Layout, err error) {
	l = &Layout{Data: make([]int64, parts)}
	q, _ := b.(*qcow2Image)
	looked := int64(0)
	part, size := 0, b.Size()
	for off := int64(0); off < size; {
		k, data, err := backstores.Extent(b, off)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if q != nil {
			if looked += q.Looked(k); looked > qcow2.MaxLooked {
				return nil, nil
			}
		}
		end := off + k
		if !data {
			l.Holes += k
			off = end
			continue
		}
		for off < end {
			for l.Part(part+1, size) <= off {
				part++
			}
			n := min(end, l.Part(part+1, size)) - off
			l.Data[part] += n
			off += n
		}
	}
	return l, nil
}
