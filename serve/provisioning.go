package serve

import (
	"io"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/volatile"
)

// thinWord is in the contents of thin provisioned disks.
const thinWord = "thin"

// provision decides whether the disk is thin provisioned. A raw file without
// holes is not, if nothing else says so.
func (i *openedImage) provision(o *Options) {
	format := o.Open.Format
	i.guessed = !o.IgnoreDiscard && format == image.Auto && i.store == i.base
	if i.guessed {
		format = image.RawFormat(i.base)
	}
	i.thin = !o.IgnoreDiscard && format != image.Raw
}

// provisionAs has the disk keep the provisioning of the contents that it adopts.
// The holes may have been filled or made since then, and initiators do not ask
// again.
func (i *openedImage) provisionAs(contents string) {
	if i.guessed {
		i.thin = slices.Contains(strings.Fields(contents), thinWord)
	}
}

// presented returns the store that the disk's commands are executed on.
func (i *openedImage) presented(o *Options) backstores.Backstore {
	store := i.disk()
	_, trims := store.(backstores.Trimmer)
	if _, writable := store.(io.WriterAt); writable && o.TrackWrites {
		i.cache = volatile.New(store, i.thin)
		store = i.cache
	}
	if !i.thin || !trims {
		store = backstores.FullyProvisioned(store)
	}
	if o.DetectZeroes != WriteZeros {
		store = backstores.DetectZeroes(store, o.DetectZeroes == UnmapZeros)
	}
	return store
}
