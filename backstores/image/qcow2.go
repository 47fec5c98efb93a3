package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A qcow2Image is the disk in an image of QEMU. It is read-only.
type qcow2Image struct {
	*qcow2.Image
	compressed int64 // see Info; filled in by inspect
}

// ID returns the identity of the file.
func (q *qcow2Image) ID() (entry.ID, error) { return fileID(q.File()) }

// Info implements [Describer].
func (q *qcow2Image) Info() Info {
	h := q.Header()
	i := Info{
		Format: Qcow2, Size: q.Size(), Stored: q.File().Size(), Random: true,
		ClusterSize: 1 << h.ClusterBits, Compressed: q.compressed, Snapshots: int(h.Snapshots), Backing: h.Backing,
	}
	if q.compressed > 0 {
		i.Compression = h.CompressionName()
	}
	return i
}

// IsQcow2 reports whether b is the disk in an image of QEMU, whose users may expect
// that it is written.
func IsQcow2(b backstores.Backstore) bool {
	_, ok := b.(*qcow2Image)
	return ok
}

// openQcow2File opens the QEMU image at path, and its backing files.
func openQcow2File(ctx context.Context, path string, o Options) (backstores.Backstore, error) {
	file, err := raw.Open(ctx, path, raw.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	q, err := openQcow2(ctx, path, file, o)
	if err != nil {
		return nil, err
	}
	return q, nil
}

// openQcow2 returns the disk in a QEMU image, which is called path. Its backing
// file, and the backing file of that, are those of the options: root does not open
// what a header names. openQcow2 takes the file over, also if it fails.
func openQcow2(ctx context.Context, path string, file backstores.Backstore, o Options) (*qcow2Image, error) {
	o.chain = max(o.chain, len(o.Backing)+1)
	q, err := newQcow2(path, file, o)
	if err != nil {
		return nil, err
	}
	backing, err := openBacking(ctx, path, q.Header(), o)
	if err != nil {
		q.Close()
		return nil, err
	}
	if backing != nil {
		q.Attach(backing)
	}
	return q, nil
}

// newQcow2 is openQcow2 without the backing file. The images of a chain share the
// memory.
func newQcow2(path string, file backstores.Backstore, o Options) (_ *qcow2Image, err error) {
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	c := &candidate{path, readSectors(file, file.Size()), file, file.Size()}
	if overlay.IsOverlay(c.start()) {
		return nil, refuse(c, &anOverlay)
	}
	memory := o.withDefaults().CacheSize / int64(max(1, o.chain))
	m, err := qcow2.Open(path, file, qcow2.Config{Memory: memory})
	if err == nil {
		return &qcow2Image{Image: m}, nil
	}
	if least, ok := errors.AsType[*qcow2.MemoryError](err); ok {
		return nil, hint.Try(err, "--cache-size", fmt.Sprintf("%dM", least.Least>>20*int64(max(1, o.chain))))
	}
	return nil, hint.With(err, rescueQcow2(c, err)...)
}

// openBacking opens the backing file of the image at path, or returns nil if it has
// none.
func openBacking(ctx context.Context, path string, h *qcow2.Header, o Options) (backstores.Backstore, error) {
	switch {
	case h.Backing == "" && len(o.Backing) > 0:
		return nil, fmt.Errorf("%s: has no backing file; leave out --backing", path)
	case h.Backing == "":
		return nil, nil
	case len(o.Backing) == 0:
		return nil, hint.Try(fmt.Errorf("%s: needs its backing file, which it calls %s", path, hint.Visible(h.Backing)), "--backing", "FILE")
	}
	b := o.Backing[0]
	o.ReadOnly, o.Create, o.Format, o.Backing = true, 0, Auto, o.Backing[1:]
	if h.BackingFormat() == Raw {
		o.Format = Raw // whatever its guest wrote
	}
	s, err := open(ctx, b, o)
	if err != nil {
		err, _ = misspelt(b, err)
	}
	return s, err
}

// rescueQcow2 returns the command for an image that lunserve does not read. QEMU
// would also read the files that the header names, and those may be any files of
// this machine: a command that reads the disk has the names of all files.
func rescueQcow2(c *candidate, err error) []hint.Command {
	backing := qcow2.HasBacking(c.head)
	options := "driver=qcow2,file.filename=" + option(c.path)
	out := plain(hint.Free(rawName(c.path)))
	switch {
	case errors.Is(err, qcow2.ErrDataFile) && !backing:
		return one("qemu-img", "convert", "-O", "raw", "--image-opts", options+",data-file.driver=file,data-file.filename=DATA-FILE", out)
	case errors.Is(err, qcow2.ErrDataFile):
		return nil
	case backing:
		return describe("qcow2")(c)
	case errors.Is(err, qcow2.ErrEncrypted):
		return one("qemu-img", "convert", "-O", "raw", "--object", "secret,id=key,file=KEY-FILE", "--image-opts", options+",encrypt.key-secret=key", out)
	case errors.Is(err, qcow2.ErrFeature):
		return convert("qcow2")(c)
	}
	return one("qemu-img", "check", "-f", "qcow2", plain(c.path))
}

// inspectQcow2 is inspect for a QEMU image. Without its backing file, the store is
// nil.
func inspectQcow2(ctx context.Context, path string, o Options) (i inspected, err error) {
	file, err := raw.Open(ctx, path, raw.Options{ReadOnly: true})
	if err != nil {
		return i, err
	}
	open := openQcow2
	if len(o.Backing) == 0 {
		open = func(_ context.Context, path string, file backstores.Backstore, o Options) (*qcow2Image, error) {
			return newQcow2(path, file, o)
		}
	}
	q, err := open(ctx, path, file, o)
	if err != nil {
		return i, err
	}
	if q.compressed, err = q.Compressed(ctx); err != nil {
		return i, errors.Join(named(ctx, path, err), q.Close())
	}
	i.Info = q.Info()
	if i.Info.Stored, err = stored(path, i.Info.Stored); err != nil {
		return inspected{}, errors.Join(err, q.Close())
	}
	if i.Backing != "" && len(o.Backing) == 0 {
		return i, q.Close()
	}
	i.store = q
	return i, nil
}
