package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sort"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
)

// A simg is an Android sparse image: consecutive chunks of blocks. The bytes of
// a chunk are in the file, or are one word repeated, or are unspecified and
// read as zeros. It is read-only. Its checksums are of all that is before them, so
// they are compared when the image is unpacked, and not when it is served.
type simg struct {
	file   backstores.Backstore
	size   int64
	block  int64
	chunks []simgChunk // sorted by end
	sums   []simgSum   // sorted by end
}

type simgChunk struct {
	end  int64 // in the disk
	at   int64 // in the file, for raw chunks
	kind uint16
	word uint32 // for fill chunks, as in the file (little-endian)
}

const (
	simgMagic       = 0xed26ff3a
	simgHeaderBytes = 28
	simgChunkBytes  = 12

	simgRaw      = 0xcac1
	simgFill     = 0xcac2
	simgDontCare = 0xcac3
	simgCRC32    = 0xcac4

	// 32 MiB of memory. Files of many GiB have about ten thousand.
	simgMaxChunks = 1 << 20
)

// isSimg reports whether head is the start of an Android sparse image.
func isSimg(head []byte) bool {
	return len(head) >= simgHeaderBytes && binary.LittleEndian.Uint32(head) == simgMagic
}

// openSimg returns the disk in an Android sparse image. Closing it closes the
// file. If openSimg fails the file stays open.
func openSimg(path string, file backstores.Backstore) (backstores.Backstore, error) {
	s := &simg{file: file}
	if err := s.index(); err != nil {
		return nil, fmt.Errorf("%s: Android sparse image: %w; unpack it with simg2img where it was made", path, err)
	}
	return s, nil
}

// index reads the headers of all chunks.
func (s *simg) index() error {
	b := binary.LittleEndian
	in := io.NewSectionReader(s.file, 0, s.file.Size())
	var p [simgHeaderBytes]byte
	if _, err := in.ReadAt(p[:], 0); err != nil {
		return fmt.Errorf("header: %w", cutShort(err))
	}
	headerBytes, chunkBytes := int64(b.Uint16(p[8:])), int64(b.Uint16(p[10:]))
	block, blocks, chunks := int64(b.Uint32(p[12:])), int64(b.Uint32(p[16:])), int64(b.Uint32(p[20:]))
	switch {
	case b.Uint16(p[4:]) != 1:
		return fmt.Errorf("version %d is not supported", b.Uint16(p[4:]))
	case headerBytes < simgHeaderBytes || chunkBytes < simgChunkBytes:
		return fmt.Errorf("headers of %d and %d bytes are too short", headerBytes, chunkBytes)
	case block == 0 || block%4 != 0 || block > 1<<26:
		return fmt.Errorf("its blocks have %d bytes", block)
	case blocks == 0:
		return fmt.Errorf("has no blocks")
	case chunks > simgMaxChunks:
		return fmt.Errorf("%d chunks are more than %d", chunks, simgMaxChunks)
	}
	s.size, s.block = block*blocks, block
	whole := bytes.Clone(p[24:28])
	at, end := headerBytes, int64(0)
	for i := range chunks {
		if _, err := in.ReadAt(p[:simgChunkBytes], at); err != nil {
			return fmt.Errorf("chunk %d of %d: %w", i, chunks, cutShort(err))
		}
		c := simgChunk{kind: b.Uint16(p[:]), at: at + chunkBytes}
		n, body := int64(b.Uint32(p[4:]))*block, int64(b.Uint32(p[8:]))-chunkBytes
		want := int64(0)
		switch c.kind {
		case simgRaw:
			want = n
		case simgFill:
			want = 4
			if body == want {
				if _, err := in.ReadAt(p[:4], c.at); err != nil {
					return fmt.Errorf("chunk %d of %d: %w", i, chunks, cutShort(err))
				}
				c.word = b.Uint32(p[:])
			}
		case simgDontCare:
		case simgCRC32:
			n, want = 0, 4
		default:
			return fmt.Errorf("chunk %d of %d has the unknown type %#x", i, chunks, c.kind)
		}
		if body != want || n > s.size-end || c.at > s.file.Size()-body {
			return fmt.Errorf("chunk %d of %d does not fit: %d bytes of the disk, %d in the file", i, chunks, n, body)
		}
		if c.kind == simgCRC32 {
			if _, err := in.ReadAt(p[:4], c.at); err != nil {
				return fmt.Errorf("chunk %d of %d: %w", i, chunks, cutShort(err))
			}
			s.addSum(end, p[:4])
		}
		at = c.at + body
		if n > 0 {
			end += n
			c.end = end
			s.chunks = append(s.chunks, c)
		}
	}
	if end != s.size {
		return fmt.Errorf("its chunks have %d bytes, not %d", end, s.size)
	}
	if !bytes.Equal(whole, make([]byte, 4)) { // libsparse writes 0 for none
		s.addSum(end, whole)
	}
	return nil
}

// readFull fills p from the bytes at off of a file.
func readFull(file io.ReaderAt, p []byte, off int64) error {
	if n, err := file.ReadAt(p, off); n < len(p) {
		return cutShort(err)
	}
	return nil
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Size implements [backstores.Backstore].
func (s *simg) Size() int64 { return s.size }

// Close closes the file.
func (s *simg) Close() error { return s.file.Close() }

// ID returns the identity of the file.
func (s *simg) ID() (entry.ID, error) { return fileID(s.file) }

// Info implements [Describer].
func (s *simg) Info() Info {
	return Info{Format: Simg, Size: s.size, Stored: s.file.Size(), Random: true}
}

// chunk returns the chunk of the byte at off, and the start of the chunk.
func (s *simg) chunk(off int64) (c *simgChunk, start int64) {
	i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].end > off })
	if i > 0 {
		start = s.chunks[i-1].end
	}
	return &s.chunks[i], start
}

// ReadAt implements [io.ReaderAt].
func (s *simg) ReadAt(p []byte, off int64) (int, error) {
	return backstores.ReadAt(s, p, off)
}

// ReadVec implements [backstores.VectorReader].
func (s *simg) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	n := backstores.Length(bufs)
	if err := backstores.CheckRange(s.size, off, n); err != nil {
		return fmt.Errorf("read %d bytes at %d: %w", n, off, err)
	}
	v := backstores.NewSegments(bufs)
	defer v.Free()
	for n > 0 {
		c, start := s.chunk(off)
		k := min(n, c.end-off)
		part := v.Next(k)
		switch c.kind {
		case simgRaw:
			if err := backstores.ReadVec(s.file, part, c.at+off-start, f); err != nil {
				return err
			}
		case simgFill:
			fill(part, c.word, off-start)
		default:
			fill(part, 0, 0)
		}
		off, n = off+k, n-k
	}
	return nil
}

// fill fills bufs with a repeated word, beginning at byte at of the repetition.
func fill(bufs [][]byte, word uint32, at int64) {
	for _, p := range bufs {
		if word == 0 {
			clear(p)
			continue
		}
		for i := range p {
			p[i] = byte(word >> (8 * (at % 4)))
			at++
		}
	}
}

// Extent implements [backstores.Extenter].
func (s *simg) Extent(off int64) (int64, bool, error) {
	if err := backstores.CheckRange(s.size, off, 1); err != nil {
		return 0, false, fmt.Errorf("extent at %d: %w", off, err)
	}
	c, _ := s.chunk(off)
	data := c.kind == simgRaw || c.kind == simgFill && c.word != 0
	return c.end - off, data, nil
}
