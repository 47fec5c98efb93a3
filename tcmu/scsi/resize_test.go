package scsi

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A resizableStore has the size becomes after Resize(0).
type resizableStore struct {
	writableStore
	becomes int // the size after Resize(0)
}

func (m *resizableStore) Resize(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails["resize"] != nil {
		return m.fails["resize"]
	}
	if n == 0 {
		n = int64(m.becomes)
	}
	m.bytes = append(m.bytes, make([]byte, max(0, int(n)-len(m.bytes)))...)[:n]
	return nil
}

func newResizableDisk(blockSize int) (*Disk, *resizableStore) {
	m := &resizableStore{writableStore: writableStore{memStore{bytes: randomBytes(1 << 20), fails: map[string]error{}}}}
	return NewDisk(m, Options{BlockSize: blockSize, Serial: testSerial, NAA: testNAA}), m
}

func TestGrowingRaisesUnitAttentionOnce(t *testing.T) {
	d, m := newResizableDisk(512)
	testExchanges(t, d, []exchange{
		{name: "the end", cdb: "28 00 00000800 00 0001 00", fail: "5/21/00 info 2048"},
	})
	m.becomes = 2<<20 + 511 // the last 511 bytes are not a block
	if err := d.Resize(0); err != nil || d.Size() != 2<<20 {
		t.Fatalf("size %d: %v", d.Size(), err)
	}
	testExchanges(t, d, []exchange{
		{name: "INQUIRY does not report it", cdb: "12 00 00 0005 00", want: "00 00 06 12 5b"},
		{name: "CAPACITY DATA HAS CHANGED", cdb: "25 00 00000000 00 00 00 00", fail: "6/2a/09"},
		{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00", want: "00000fff 00000200"},
		{name: "READ CAPACITY(16)", cdb: "9e 10 0000000000000000 0000000c 00 00", want: "0000000000000fff 00000200"},
		{name: "a new block", cdb: "2a 00 00000fff 00 0001 00", out: fmt.Sprintf("%x", randomBytes(512))},
		{name: "the end", cdb: "28 00 00001000 00 0001 00", fail: "5/21/00 info 4096"},
	})
	if err := d.Resize(0); err != nil {
		t.Fatal(err)
	}
	testExchanges(t, d, []exchange{{name: "no unit attention", cdb: isReady}})
}

func TestGrowingRemovableDiskRaisesNoUnitAttention(t *testing.T) {
	m := &resizableStore{writableStore: writableStore{memStore{bytes: randomBytes(1 << 20), fails: map[string]error{}}}, becomes: 2 << 20}
	d := NewDisk(m, Options{BlockSize: 512, Serial: testSerial, NAA: testNAA, Removable: true})
	if err := d.Resize(0); err != nil {
		t.Fatal(err)
	}
	d.CapacityChanged()
	testExchanges(t, d, []exchange{
		{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00", want: "00000fff 00000200"},
	})
}

func TestShrinking(t *testing.T) {
	d, m := newResizableDisk(4096)
	m.becomes = 512 << 10
	if err := d.Resize(0); err != nil || d.Size() != 512<<10 {
		t.Fatalf("size %d: %v", d.Size(), err)
	}
	testExchanges(t, d, []exchange{
		{name: "CAPACITY DATA HAS CHANGED", cdb: isReady, fail: "6/2a/09"},
		{name: "the end", cdb: "28 00 00000080 00 0001 00", fail: "5/21/00 info 128"},
		{name: "MODE SENSE(6)", cdb: "1a 00 08 00 0c 00", want: "1f 00 10 08 00000080 00 001000"},
	})
}

func TestFailedResizeChangesNothing(t *testing.T) {
	d, m := newResizableDisk(4096)
	for _, tt := range []struct {
		becomes int
		fails   error
	}{{becomes: 4095}, {becomes: 2 << 20, fails: errors.New("no")}} {
		m.becomes, m.fails["resize"] = tt.becomes, tt.fails
		if err := d.Resize(0); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
	if u := newUnit("thin", 512); !errors.Is(u.Resize(0), errors.ErrUnsupported) {
		t.Error("Resize of a store that cannot be resized")
	}
	if d.Size() != 1<<20 {
		t.Errorf("size %d", d.Size())
	}
	testExchanges(t, d, []exchange{{name: "ready", cdb: isReady}})
}

// What is lost when the image shrinks is an error. It is also for the race
// detector.
func TestCommandsInFlightDuringAResize(t *testing.T) {
	d, m := newResizableDisk(512)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, cdb := range []string{
					"28 00 00000000 00 0008 00", "2a 00 000007f8 00 0008 00", "25 00 00000000 00 00 00 00", "1a 00 3f 00 ff 00",
					"9e 12 0000000000000000 00000018 00 00", "4d 00 4c 00 00 0000 0000 ff 00",
				} {
					executeAsServe(d, unhex(cdb), make([]byte, 4096))
				}
				// From the first block to the end, at either size.
				status, sense := executeAsServe(d, unhex("34 00 00000000 00 0000 00"), nil)
				if status == good {
					continue
				}
				if why := formatSense(t, sense); why != "6/2a/09" && why != "5/21/00 info 0" && !strings.HasPrefix(why, "3/11/00") {
					t.Errorf("PRE-FETCH(10): sense data %s", why)
				}
			}
		})
	}
	for n := range 200 {
		m.mu.Lock()
		m.becomes = 1<<20 + n%2<<20
		m.mu.Unlock()
		if err := d.Resize(0); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

var _ backstores.Resizer = (*resizableStore)(nil)
