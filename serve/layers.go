package serve

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/control"
)

// stack puts the layers of the options over the image, and describes where
// writes go. If it fails, the image stays open.
func (i *openedImage) stack(ctx context.Context, given Image, o *Options) (words string, err error) {
	_, writable := i.base.(io.WriterAt)
	switch {
	case i.scratch:
		i.writes = control.Temporary
		words = fmt.Sprintf("temporary, in %s, and dropped at exit", o.Open.TempDir)
	case given.Overlay != "":
		if i.overlay, err = filepath.Abs(given.Overlay); err != nil {
			return "", err
		}
		store, kept, err := i.openOverlay(ctx, given)
		if err != nil {
			return "", err
		}
		i.store, i.writes = store, control.Overlay
		words = fmt.Sprintf("writes are kept in %s, which holds %s", given.Overlay, humanize.IBytes(uint64(kept)))
		if given.ReadOnly {
			i.writes = control.Refused
			words = fmt.Sprintf("read-only, with %s of writes from %s", humanize.IBytes(uint64(kept)), given.Overlay)
		}
	case given.ReadOnly:
		i.writes, words = control.Refused, "read-only"
	case given.Snapshot || !writable:
		store, err := image.Snapshot(ctx, i.base, o.Open.TempDir)
		if err != nil {
			return "", err
		}
		i.store, i.writes = store, control.Temporary
		words = fmt.Sprintf("writes are temporary, in %s, and dropped at exit", o.Open.TempDir)
	default:
		i.writes, words = control.InPlace, "writable"
	}
	i.provision(o)
	return words, nil
}

func (i *openedImage) openOverlay(ctx context.Context, given Image) (s backstores.Backstore, kept int64, err error) {
	if i.handed != nil {
		return image.InheritOverlay(given.Overlay, i.handed.Overlay, i.base, given.ReadOnly)
	}
	return image.OpenOverlay(ctx, given.Overlay, i.base, i.path, given.ReadOnly)
}
