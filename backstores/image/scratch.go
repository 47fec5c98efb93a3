package image

import (
	"context"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A scratch is a disk without an image. It ends with the process, so Flush and
// Durable do nothing.
type scratch struct{ *raw.Writable }

// Scratch returns a disk of zeros, of size bytes. What is written goes to a sparse file
// in dir that has no name; it is gone when the store is closed or the process ends.
func Scratch(ctx context.Context, size int64, dir string) (backstores.Backstore, error) {
	file, err := temporary(ctx, dir, "scratch disk", size)
	if err != nil {
		return nil, err
	}
	return scratch{file}, nil
}

// temporary returns a file in dir that has no name. Its errors begin with what it is.
func temporary(ctx context.Context, dir, what string, size int64) (*raw.Writable, error) {
	file, err := await(ctx, dir, func() (*raw.Writable, error) {
		t, err := raw.NewTemp(dir)
		if err != nil {
			return nil, err
		}
		file, err := t.Image(what+" in "+dir, size)
		if err != nil {
			t.Close()
		}
		return file, err
	}, func(file *raw.Writable) { file.Close() })
	if err != nil {
		return nil, hint.With(err, hint.Command{Words: []string{"--tmpdir", "DIR"}, Purpose: "to keep temporary writes elsewhere"})
	}
	return file, nil
}

// Info implements [Describer].
func (s scratch) Info() Info { return Info{Format: Sparse, Size: s.Size(), Random: true} }

// Flush implements [backstores.Flusher].
func (scratch) Flush() error { return nil }

// WriteVec implements [backstores.VectorWriter].
func (s scratch) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	return s.Writable.WriteVec(bufs, off, f&^backstores.Durable)
}
