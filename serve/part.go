package serve

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

// findPart finds the part of the disk that is to be served. The partition table is that
// which the layers show.
func (i *openedImage) findPart(ctx context.Context, p Part) (err error) {
	size := i.store.Size()
	switch {
	case p == Part{}:
		return nil
	case p.Partition > 0:
		p.Offset, p.Limit, err = image.Partition(ctx, i.path, i.store, p.Partition)
	case p.Offset >= size:
		err = fmt.Errorf("%s: has %s bytes, and byte %s is past its end", i.path, humanize.Comma(size), humanize.Comma(p.Offset))
	}
	i.part = &p
	return err
}

// disk returns the contents of the disk: all of the store, or a part.
func (i *openedImage) disk() backstores.Backstore {
	if i.part == nil {
		return i.store
	}
	n := i.part.Limit
	if n == 0 {
		n = -1
	}
	return backstores.Window(i.store, i.part.Offset, n)
}

// partPrefix begins partWord.
const partPrefix = "part="

// partWord is in the contents of a part, or empty.
func (i *openedImage) partWord() string {
	if i.part == nil {
		return ""
	}
	return fmt.Sprintf(partPrefix+"%d+%d", i.part.Offset, i.part.Limit)
}
