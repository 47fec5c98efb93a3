package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/hint"
)

// A qcow2Image is the disk in an image of QEMU. It is read-only.
type qcow2Image struct {
	*qcow2.Image
	file       source
	url        URLOptions           // for all of them
	chain      []string             // paths and URLs of the backing files, as they were typed
	backing    backstores.Backstore // or nil
	compressed int64                // see Info; filled in by inspect
}

// ID returns the identity of the file.
func (q *qcow2Image) ID() (entry.ID, error) { return fileID(q.file) }

// Close closes the files of the chain, which also releases their locks.
func (q *qcow2Image) Close() error {
	cancel(q.file)
	return q.Image.Close()
}

// Info implements [Describer].
func (q *qcow2Image) Info() Info {
	h := q.Header()
	i := Info{
		Format: Qcow2, Size: q.Size(), Stored: q.file.Size(), Random: true,
		ClusterSize: 1 << h.ClusterBits, Compressed: q.compressed, Snapshots: int64(h.Snapshots), Backing: h.Backing,
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

// Backing returns the backing file of an image, or nil.
func Backing(b backstores.Backstore) backstores.Backstore {
	if q, ok := b.(*qcow2Image); ok {
		return q.backing
	}
	return nil
}

// TakesOverlay returns an error if there can be no overlay over the image: an
// overlay records the identity of one file, and over a chain it would not notice
// another backing file.
func TakesOverlay(b backstores.Backstore) error {
	q, ok := b.(*qcow2Image)
	if !ok || q.Header().Backing == "" {
		return nil
	}
	words := append([]string{"lunserve", "unpack"}, q.url.flags(q.file.Path(), q.chain...)...)
	for _, b := range q.chain {
		words = append(words, "--backing", Typed(b))
	}
	path := q.file.Path()
	words = append(words, Typed(path), hint.Path(hint.Free(rawName(beside(path)))))
	return hint.With(fmt.Errorf("%s: has a backing file, which an overlay would not know again", q.file.Name()),
		hint.Command{Words: words, Purpose: "to make a base of both"})
}

// openQcow2 returns the disk in a QEMU image. Its backing file, and the backing
// file of that, are those of the options: root does not open what a header names.
// openQcow2 takes the file over, also if it fails.
func openQcow2(ctx context.Context, file source, o Options) (*qcow2Image, error) {
	q, err := newQcow2(file, o)
	if err != nil {
		return nil, err
	}
	if q.backing, err = openBacking(ctx, file.Name(), q.Header(), o); err != nil {
		q.Close()
		return nil, err
	}
	if q.backing != nil {
		q.Attach(q.backing)
		q.chain = o.Backing
	}
	return q, nil
}

// newQcow2 is openQcow2 without the backing file.
func newQcow2(file source, o Options) (_ *qcow2Image, err error) {
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	c := &candidate{file.Path(), readSectors(file, file.Size()), file, file.Size()}
	if overlay.IsOverlay(c.start()) {
		return nil, refuse(c, &anOverlay)
	}
	memory := o.memory(file, 2) // plain clusters are only in that of the file
	m, err := qcow2.Open(file.Name(), file, qcow2.Config{Memory: memory, Reads: reads(file), Changed: file.Changed})
	if err == nil {
		if m.Header().Incompatible&qcow2.Corrupt != 0 && o.Notice != nil {
			o.Notice(hint.With(fmt.Errorf("%s: is marked as corrupt, and may hold wrong data", file.Name()), rescueQcow2(c, nil)...))
		}
		return &qcow2Image{Image: m, file: file, url: o.URL}, nil
	}
	if least, ok := errors.AsType[*qcow2.MemoryError](err); ok {
		parts := (o.total + memory - 1) / memory
		return nil, hint.Try(err, "--cache-size", fmt.Sprintf("%dM", least.Least>>20*parts))
	}
	return nil, hint.With(err, rescueQcow2(c, err)...)
}

// rescueQcow2 returns the command for an image that lunserve does not read. QEMU
// would also read the files that the header names, and those may be any files of
// this machine: a command that reads the disk has the names of all files.
func rescueQcow2(c *candidate, err error) []hint.Command {
	if !qcow2.Is(c.head) || qcow2.HasDataFile(c.head) && !errors.Is(err, qcow2.ErrDataFile) {
		return nil
	}
	backing := qcow2.HasBacking(c.head)
	options := "driver=qcow2,file.filename=" + option(c.path)
	out := plain(hint.Free(rawName(c.path)))
	switch {
	case IsURL(c.path):
		return []hint.Command{download(c.path, c.file)}
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

// inspectQcow2 describes a QEMU image, and takes its file over. Without its backing
// file, the store is nil.
func inspectQcow2(ctx context.Context, file source, o Options) (i inspected, err error) {
	var q *qcow2Image
	if len(o.Backing) > 0 {
		q, err = openQcow2(ctx, file, o)
	} else {
		q, err = newQcow2(file, o)
	}
	if err != nil {
		return i, err
	}
	if !o.brief {
		if q.compressed, err = q.Compressed(ctx); err != nil {
			return i, errors.Join(named(ctx, file.Name(), err), q.Close())
		}
	}
	i.Info = q.Info()
	if i.Info.Stored, err = stored(file); err != nil {
		return inspected{}, errors.Join(fmt.Errorf("%s: %w", file.Name(), err), q.Close())
	}
	if i.Backing != "" && len(o.Backing) == 0 {
		return i, q.Close()
	}
	i.store = q
	return i, nil
}
