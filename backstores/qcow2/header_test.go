package qcow2

import (
	"bytes"
	"reflect"
	"testing"
)

var someHeader = Header{
	Version: 3, ClusterBits: 16, Size: 1 << 30, L1Size: 2, L1At: 3 << 16, RefTableAt: 1 << 16, RefTableClusters: 1,
	Incompatible: ExtendedL2 | 1<<40, Autoclear: 2, RefcountOrder: 4, Backing: "../base.img",
	Extensions: []Extension{{Type: BackingFormat, Data: []byte("raw")}, {Type: FeatureNames, Data: FeatureName(0, 40, "bells")}},
}

func TestHeaderIsReadBack(t *testing.T) {
	p := someHeader.Bytes()
	h, err := ParseHeader(append(p, 0, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.Extensions {
		if at := h.Extensions[i].At; !bytes.Equal(p[at:][:3], h.Extensions[i].Data[:3]) {
			t.Errorf("extension %d is not at %d", i, at)
		}
		h.Extensions[i].At = 0
	}
	if !reflect.DeepEqual(*h, someHeader) {
		t.Errorf("%+v, want %+v", *h, someHeader)
	}
	if got := h.featureName(40); got != "bells" {
		t.Errorf("bit 40 is %q", got)
	}
}

// Old programs write the name of the backing file right after the header.
func TestNameAfterHeaderOfVersion2(t *testing.T) {
	p := make([]byte, 512)
	copy(p, "QFI\xfb\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x48\x00\x00\x00\x08\x00\x00\x00\x10")
	copy(p[72:], "base.img")
	if h, err := ParseHeader(p); err != nil || h.Backing != "base.img" || len(h.Extensions) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(someHeader.Bytes())
	f.Add(append([]byte("QFI\xfb\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x48\x00\x00\x00\x08"), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := ParseHeader(p)
		if err != nil {
			return
		}
		h.featureName(3)
		if h.Version != 3 || h.Compression != 0 {
			return
		}
		again, err := ParseHeader(h.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for i := range again.Extensions {
			again.Extensions[i].At = h.Extensions[i].At
		}
		if len(h.Extensions) == 0 {
			again.Extensions, h.Extensions = nil, nil
		}
		if !reflect.DeepEqual(again, h) {
			t.Errorf("%+v, written and read again %+v", h, again)
		}
	})
}
