package qcow2

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/decoded"
)

// deflated returns p as a deflate stream.
func deflated(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err == nil {
		_, err = w.Write(p)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pages are contents of clusters.
func pages() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	noise, few, steps := make([]byte, 70_000), make([]byte, 70_000), make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
		few[i] = byte(r.ExpFloat64() * 3)
		steps[i] = byte(r.ExpFloat64() * 30)
		if i%5 > 0 && i > 1000 {
			steps[i] = steps[i-1-r.IntN(900)]
		}
	}
	return map[string][]byte{
		"noise": noise, "few": few, "steps": steps, "zeros": make([]byte, 70_000),
		"text": []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 1600)),
	}
}

func TestInflate(t *testing.T) {
	for name, page := range pages() {
		for _, n := range []int{512, 513, 4096, 65536} {
			for level := flate.HuffmanOnly; level <= 9; level++ {
				p := page[:n]
				out := make([]byte, n, n+decoded.Slack)
				in := append(deflated(t, p, level), noisyEnd...)
				if err := inflate(out, in); err != nil || !bytes.Equal(out, p) {
					t.Errorf("%s, %d bytes, level %d: other bytes, or %v", name, n, level, err)
				}
			}
		}
	}
}

// A cluster cannot keep a CPU busy for seconds.
func TestManyEmptyBlocksAreRefused(t *testing.T) {
	const cluster = 2 << 20
	empty := []byte{0, 0, 0, 0xff, 0xff} // stored
	out := make([]byte, cluster, cluster+decoded.Slack)
	in := append(bytes.Repeat(empty, 2000), deflated(t, out, 1)...)
	if err := inflate(out, in); err != nil {
		t.Errorf("2000 empty blocks: %v", err)
	}
	if err := inflate(out, append(bytes.Repeat(empty, 50_000), in...)); err != errDeflate {
		t.Errorf("52,000 empty blocks: %v", err)
	}
}

// noisyEnd is what follows a cluster in its last sector: the next one.
var noisyEnd = []byte("\xff\x03next")

// FuzzInflate compares with the decoder of the standard library: the same bytes are
// written, or both fail. That one fails if a stream is cut off within what could be the
// code for its end, though what is there is all that is wanted, and zlib returns it; and
// it accepts codes that zlib refuses.
func FuzzInflate(f *testing.F) {
	for _, page := range pages() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			f.Add(append(deflated(f, page[:2000], level), noisyEnd...), uint16(2000))
		}
	}
	f.Add([]byte{1, 4, 0, 251, 255, 1, 2, 3, 4}, uint16(4))
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		n := int(size)
		out := bytes.Repeat([]byte{0xee}, n+decoded.Slack+8)
		err := inflate(out[:n:n+decoded.Slack], in)
		want := make([]byte, n)
		_, wantErr := io.ReadFull(flate.NewReader(bytes.NewReader(in)), want)
		if err == nil && wantErr == io.ErrUnexpectedEOF {
			_, wantErr = io.ReadFull(flate.NewReader(bytes.NewReader(append(in, 0, 0))), want)
		}
		if (err == nil) != (wantErr == nil) && err != errCodes {
			t.Errorf("%v, want %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(out[:n], want) {
			t.Error("other bytes")
		}
		if !bytes.Equal(out[n+decoded.Slack:], bytes.Repeat([]byte{0xee}, 8)) {
			t.Error("wrote past the end")
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	for name, page := range pages() {
		in, out := deflated(b, page[:65536], 6), make([]byte, 65536, 65536+decoded.Slack)
		b.Run(fmt.Sprintf("%s-%d", name, len(in)), func(b *testing.B) {
			b.SetBytes(65536)
			b.ReportAllocs()
			for b.Loop() {
				if err := inflate(out, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
