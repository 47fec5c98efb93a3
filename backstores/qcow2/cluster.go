package qcow2

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores/decoded"
	"github.com/lunserve/lunserve/backstores/seekable"
)

// maxEncoded is the largest size of a compressed cluster, in clusters.
const maxEncoded = 2

// A clusterSource decompresses clusters, which are numbered in the order of the
// disk.
type clusterSource struct{ *Image }

// Encoded implements [decoded.Source].
func (m clusterSource) Encoded(i int64) bool {
	off := i << m.clusterBits
	if off >= m.size {
		return false
	}
	r, err := m.find(off, 1, false)
	return err == nil && r.kind == compressed
}

// Decode implements [decoded.Source].
func (m clusterSource) Decode(i int64, in, out []byte) (zeros bool, err error) {
	off := i << m.clusterBits
	r, err := m.find(off, 1, true)
	if err != nil {
		return false, err
	}
	if r.kind != compressed {
		return false, m.damaged(off, "it was compressed before")
	}
	in, out = in[:r.size], out[:m.cluster()]
	if err = readFull(m.file, in, r.host); err == nil {
		if m.zstd != nil {
			err = unzstd(m.zstd, out, in)
		} else {
			err = inflate(out, in)
		}
		if err != nil {
			err = m.damaged(off, "at %d in the file: %w", r.host, err)
		}
	}
	if changed := m.changed(); changed != nil {
		err = fmt.Errorf("%s: %w", m.name, changed)
	}
	return false, err
}

var errClusterSize = errors.New("does not decompress to the size of a cluster")

func newZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(1<<31))
}

// unzstd fills out, which has room for [decoded.Slack] bytes after it, with what the
// frames that in begins with decode to. QEMU writes one, and accepts several.
func unzstd(d *zstd.Decoder, out, in []byte) error {
	all := out[: 0 : len(out)+decoded.Slack]
	for len(all) < len(out) {
		n, err := seekable.FrameLength(in, int64(len(out)-len(all)))
		if err == nil {
			all, err = d.DecodeAll(in[:n], all)
		}
		if err != nil {
			return err
		}
		in = in[n:]
	}
	if len(all) > len(out) {
		return errClusterSize
	}
	// The decoder allocates another buffer if it might need more space.
	if &all[0] != &out[0] {
		copy(out, all)
	}
	return nil
}
