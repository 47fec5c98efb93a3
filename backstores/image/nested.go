package image

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/hint"
)

// checkNested returns an error if the disk in an image looks like a file of
// another format, as in disk.qcow2.zst, unless the format of the image was
// given.
func checkNested(path string, disk io.ReaderAt, size int64, o Options) error {
	if o.nested || o.Format != Auto && o.Format != "" {
		return nil
	}
	like := look(readSectors(disk, size))
	if like == nil || !like.last && contents.IsDisk(disk, size) {
		return nil
	}
	return hint.With(fmt.Errorf("%s: unpacked, it is %s", Name(path), like.name),
		unpackCommand(path, o))
}

// unpackCommand makes a file of what is in an image, beside it.
func unpackCommand(path string, o Options) hint.Command {
	words := append([]string{"lunserve", "unpack"}, o.URL.flags(path)...)
	return hint.Command{Words: append(words, Typed(path), hint.Path(hint.Free(innerName(beside(path)))))}
}

// peekBytes is how far contents.IsDisk reads: to the superblock of btrfs.
const peekBytes = 68 << 10

// peekNested is checkNested for a zstd file, and decompresses only its
// beginning. It finds no signature at the end.
func peekNested(f source, o Options) error {
	dec, err := zstd.NewReader(io.NewSectionReader(f, 0, f.Size()), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(o.withDefaults().MaxWindow)))
	if err != nil {
		return nil // opening it returns a better error
	}
	defer dec.Close()
	p := make([]byte, peekBytes)
	n, _ := io.ReadFull(dec, p)
	return checkNested(f.Path(), bytes.NewReader(p[:n]), int64(n), o)
}

// unnested returns s, or closes it if its disk is a file of another format.
func unnested(path string, s backstores.Backstore, o Options) (backstores.Backstore, error) {
	if err := checkNested(path, s, s.Size(), o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
