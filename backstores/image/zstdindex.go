package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/seekable"
)

// findSizes finds the sizes of frames whose headers lack them: as they were saved
// before, or by decoding.
func (f *zstdFile) findSizes(ctx context.Context, o Options) error {
	key := f.indexKey()
	// What is damaged, or of another file, is not used.
	if b, err := readCache(f.Place()); err != nil || f.scan.Load(b, key) != nil {
		o.notice(fmt.Errorf("%s: %s; decompressing %s once to find them", f.Name(), f.noSizes(), humanize.IBytes(uint64(f.size))),
			packCommand(f.Path(), o, f.info, "to make a file that does not need this"))
		what := f.Name() + ": finding frames"
		err := f.scan.Decode(ctx, f, f.limit, o.progress(what))
		debug.FreeOSMemory() // the buffers may have been large
		if errors.Is(err, seekable.ErrFrames) {
			f.large = err
			return nil
		}
		if err != nil {
			return f.bad(ctx, what, err)
		}
		if err := f.Changed(); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		// Without it the next open decodes again.
		_ = writeCache(f.Place(), f.scan.Save(key))
	}
	f.info.Size, f.info.Frames, f.info.FrameSize = f.scan.Size(), f.scan.Frames(), f.scan.MaxFrame()
	f.info.Index, f.info.Random = string(f.scan.Source), true
	return nil
}

// noSizes says why the sizes of the frames must be found.
func (f *zstdFile) noSizes() string {
	if f.scan.Unchecked {
		return "its seek table has too many different sizes to check, and its frames do not give theirs"
	}
	return "its frames do not give their sizes"
}

// indexKey identifies the file and its contents: a digest of what identifies the
// version of the file, and of the headers and checksums of the frames concerned.
func (f *zstdFile) indexKey() [sha256.Size]byte {
	return sha256.Sum256(append(f.scan.Digest[:], f.Version()...))
}
