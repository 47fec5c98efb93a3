package backstores

import (
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

// size finds the sizes of frames that do not tell them: from what was kept of
// an earlier time, or by decoding them.
func (f *zstdFile) size(o Options) error {
	key, kept := f.keptIndex()
	if b, err := os.ReadFile(kept); err == nil {
		// One that is damaged or does not fit is as good as none.
		if x, err := seekable.Load(b, key, f.stat.Size, f.limit); err == nil {
			f.scan.Index, f.scan.Sized = x, true
		}
	}
	if !f.scan.Sized {
		o.notice("%s: its frames do not tell their sizes; decompressing %s once to know them. Try %s to make a file that needs none of this",
			f.Name(), humanize.IBytes(uint64(f.stat.Size)), packLine(f.Name()))
		err := f.scan.Decode(f, f.limit, o.progress(f.Name()+": finding frames"))
		debug.FreeOSMemory() // its buffers may have been large, and are of no more use
		if errors.Is(err, seekable.ErrFrames) {
			f.large = err
			return nil
		}
		if err != nil {
			return f.bad(err)
		}
		// What cannot be kept is found again next time.
		_ = keep(kept, f.scan.Save(key))
	}
	f.facts.Size, f.facts.Frames, f.facts.FrameSize = f.scan.Size(), f.scan.Frames(), f.scan.MaxFrame()
	f.facts.Index, f.facts.Random = string(f.scan.Source), true
	return nil
}

// keptIndex is where the index of the file would be, in the user's cache
// folder, and its key: a digest of the file's size, time of change, and 64 KiB
// at either end.
func (f *zstdFile) keptIndex() (key [sha256.Size]byte, path string) {
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

// keep writes a file that is there whole or not at all.
func keep(path string, b []byte) error {
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
