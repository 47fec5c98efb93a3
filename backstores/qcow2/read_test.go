package qcow2

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A readerStore is a store of bytes.
type readerStore struct{ *bytes.Reader }

func (s readerStore) Size() int64 { return s.Reader.Size() }
func (readerStore) Close() error  { return nil }

// A read that would block is tried again with wait set, and still follows the read
// before.
func TestReadThatBlocksStillFollows(t *testing.T) {
	const cluster = 1 << 16
	b := binary.BigEndian
	h := Header{ClusterBits: 16, Size: 8 * cluster, L1Size: 1, L1At: cluster, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, 4*cluster)...)[:4*cluster]
	b.PutUint64(file[cluster:], 2*cluster)
	data := deflated(t, bytes.Repeat([]byte("data"), cluster/4), 1)
	copy(file[3*cluster:], data)
	sectors := uint64(len(data)-1) / 512
	b.PutUint64(file[2*cluster+8:], compressedBit|sectors<<(62-(16-8))|3*cluster)
	m, err := Open("disk", readerStore{bytes.NewReader(file)}, Config{Memory: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p := make([]byte, cluster)
	if err := m.ReadVec([][]byte{p}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.ReadVec([][]byte{p}, cluster, backstores.NoWait); err != backstores.ErrWouldBlock {
		t.Fatal(err)
	}
	if got := m.next.Load(); got != cluster {
		t.Errorf("the next read is expected at %d, want %d", got, cluster)
	}
	if err := m.ReadVec([][]byte{p}, cluster, 0); err != nil || !bytes.HasPrefix(p, []byte("data")) {
		t.Fatal(err)
	}
	if got := m.next.Load(); got != 2*cluster {
		t.Errorf("the next read is expected at %d, want %d", got, 2*cluster)
	}
}
