package image

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/seekable"
)

// findSizes finds the sizes of frames whose headers lack them, in the index that
// was saved before or by decoding them.
func (f *zstdFile) findSizes(ctx context.Context, o Options) error {
	key, saved := f.savedIndex()
	if b, err := os.ReadFile(saved); err == nil {
		// An index that is damaged, or of another file, is not used.
		_ = f.scan.Load(b, key)
	}
	if !f.scan.Sized {
		o.notice(fmt.Errorf("%s: its frames do not give their sizes; decompressing %s once to find them", f.Name(), humanize.IBytes(uint64(f.stat.Size))),
			packCommand(f.Name(), "to make a file that does not need this"))
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
		// Without the saved index the next open decodes again.
		_ = writeWhole(saved, f.scan.Save(key))
	}
	f.info.Size, f.info.Frames, f.info.FrameSize = f.scan.Size(), f.scan.Frames(), f.scan.MaxFrame()
	f.info.Index, f.info.Random = string(f.scan.Source), true
	return nil
}

// savedIndex returns where the index of the file is saved, in the user's cache
// directory, and its key: a digest of the file's size, modification time, and
// 64 KiB at either end.
func (f *zstdFile) savedIndex() (key [sha256.Size]byte, path string) {
	const ends = 64 << 10
	p := binary.LittleEndian.AppendUint64(nil, uint64(f.stat.Size))
	p = binary.LittleEndian.AppendUint64(p, uint64(f.stat.Mtim.Nano()))
	end := make([]byte, min(ends, f.stat.Size))
	for _, off := range []int64{0, f.stat.Size - int64(len(end))} {
		if _, err := f.ReadAt(end, off); err != nil {
			return key, ""
		}
		p = append(p, end...)
	}
	key = sha256.Sum256(p)
	dir, err := os.UserCacheDir()
	if err != nil {
		return key, ""
	}
	return key, filepath.Join(dir, "lunserve", hex.EncodeToString(key[:16])+".index")
}

// writeWhole writes a file that appears when it is complete.
func writeWhole(path string, b []byte) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	t, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Close())
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		os.Remove(t.Name())
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
