package image

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/remote"
	"github.com/lunserve/lunserve/hint"
)

// A Check is the result of [CheckOpen].
type Check struct {
	Inspection
	// Temporary is the number of bytes that may be needed in [Options.TempDir]
	// for decompressed data, or for writes to a read-only format. It is -1 if
	// the image must be decompressed to find out.
	Temporary int64

	Server []remote.Fact // of images at URLs
}

// CheckOpen opens and locks the image at path like [Open], and closes it again.
// It skips work that takes long.
func CheckOpen(ctx context.Context, path string, o Options) (Check, error) {
	o.Create, o.Notice, o.Progress, o.brief = 0, nil, nil, true
	info, store, err := Inspect(ctx, path, o)
	if store != nil {
		err = errors.Join(err, store.Close())
	}
	c := Check{Inspection: info}
	if err == nil && store == nil && info.Format == Qcow2 {
		_, err = Open(ctx, path, o) // it lacks its backing file
	}
	for _, image := range append([]string{path}, o.Backing...) {
		if err == nil && IsURL(image) {
			var facts []remote.Fact
			facts, err = checkServer(ctx, image, o)
			c.Server = append(c.Server, facts...)
		}
	}
	if readOnlyFormat(info.Format) || IsURL(path) {
		switch {
		case !info.Random && info.Size == 0:
			c.Temporary = -1
		case !o.ReadOnly || !info.Random:
			c.Temporary = info.Size
		}
		return c, err
	}
	// Inspect opens the image for reading, with shorter errors.
	if store, err = Open(ctx, path, o); err != nil {
		return c, err
	}
	return c, store.Close()
}

// checkServer measures the server of a URL.
func checkServer(ctx context.Context, location string, o Options) ([]remote.Fact, error) {
	o.little = true
	return await(ctx, Name(location), func() ([]remote.Fact, error) {
		f, err := openRemote(ctx, location, o)
		if err != nil {
			return nil, err
		}
		facts, err := f.Check(ctx)
		return facts, errors.Join(err, f.Close())
	}, func([]remote.Fact) {})
}

// Room returns the number of bytes that can be written to new files in dir.
func Room(dir string) (int64, error) {
	another := hint.Command{Words: []string{"--tmpdir", "DIR"}, Purpose: "to name another"}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, hint.With(fmt.Errorf("%s: %w", dir, err), another)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return 0, hint.With(fmt.Errorf("%s: cannot make files there: %w", dir, err), another)
	}
	return raw.Free(&st), nil
}
