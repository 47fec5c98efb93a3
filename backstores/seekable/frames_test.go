package seekable

import (
	"encoding/binary"
	"runtime"
	"testing"
)

// A file of too many frames is one that can only be decoded from end to end. What
// was known of its frames is dropped, and counting goes on.
func TestTooManyFramesHaveNoRandomAccess(t *testing.T) {
	s := &Scanned{Index: &Index{frames: frames{n: MaxFrameCount - 1, pages: make([]*[pageFrames]frame, MaxFrameCount/pageFrames)}}, Sized: true}
	s.frames.pages[MaxFrameCount/pageFrames-1] = new([pageFrames]frame)
	f := found{csize: 10, dsize: 1, most: 1}
	for i, want := range []bool{false, true, true} {
		if err := s.add(f, 1<<20); err != nil || s.large != want {
			t.Errorf("frame %d: large %v, %v", i, s.large, err)
		}
	}
	if s.frames.n != 0 || s.All != 3 || s.Known != 3 {
		t.Errorf("%d frames, %d in all of %d bytes", s.frames.n, s.All, s.Known)
	}
}

// An index takes the memory that it says, also while it grows.
func TestIndexTakesLittleMemory(t *testing.T) {
	const n = 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var x Index
	for i := range n {
		if err := x.add(frame{off: int64(i) * 20, start: 4096, csize: 20}, 4096, 1<<20); err != nil {
			t.Fatal(err)
		}
		x.setZero(i, true)
	}
	x.settle()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 28*n || x.Size() != n*4096 || x.find(5*4096+1) != 5 {
		t.Errorf("took %d bytes for %d frames", took, n)
	}
}

// The length of a frame is found without its contents: a few bytes can claim many
// zeros.
func TestFrameLengthTakesNoMemory(t *testing.T) {
	const blocks = 512
	b := binary.LittleEndian
	frame := b.AppendUint64([]byte("\x28\xb5\x2f\xfd\xe4"), blocks*maxBlock) // single segment, size, checksum
	for i := range blocks {
		v := maxBlock<<3 | rleBlock<<1
		if i == blocks-1 {
			v |= 1
		}
		frame = append(frame, byte(v), byte(v>>8), byte(v>>16), 0)
	}
	frame = b.AppendUint32(frame, uint32(xxh64(make([]byte, blocks*maxBlock))))
	if _, err := one(frame); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := FrameLength(frame, blocks*maxBlock)
	runtime.ReadMemStats(&after)
	if err != nil || n != int64(len(frame)) {
		t.Errorf("%d bytes of %d, %v", n, len(frame), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes", took)
	}
	if _, err := FrameLength(frame, blocks*maxBlock-1); err == nil {
		t.Error("a frame that is too large")
	}
}
