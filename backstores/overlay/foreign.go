package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores/qcow2"
)

// ErrChanged is the cause if an overlay is no longer as lunserve writes it. QEMU
// can read most of what lunserve refuses.
var ErrChanged = errors.New("was changed by another program, or is damaged")

// Other programs may write to an overlay, as long as they change nothing but
// data, presence bits and, in the header, what names the base. lunserve writes
// to clusters that no table names yet, so it must know all tables and who else
// might use a cluster. It accepts the file only if every field of the header,
// every pointer and every header extension is one that it writes itself. What
// QEMU leaves behind by a snapshot, a resize, a bitmap, a discard, zeros, a
// compressed cluster, or a write to a part of the disk that lunserve has not
// written to before, is refused. Clusters that are counted and that no table
// names are not in use.

// foreign returns an error unless the header that starts with p is as h would
// write it, and says what was done to the file.
func (h *header) foreign(p []byte, all []qcow2.Extension) error {
	b := binary.BigEndian
	why := ""
	for _, e := range all {
		switch e.Type {
		case recordType, qcow2.BackingFormat, qcow2.FeatureNames:
		case qcow2.Bitmaps:
			why = "it has bitmaps"
		default:
			why = fmt.Sprintf("it has a header extension %#08x", e.Type)
		}
	}
	ours := h.bytes()
	incompatible := b.Uint64(p[qcow2.FeaturesAt:])
	switch {
	case why != "":
	case b.Uint64(p[24:]) != b.Uint64(ours[24:]):
		why = fmt.Sprintf("its disk was resized from %d bytes to %d", h.size, b.Uint64(p[24:]))
	case b.Uint32(p[60:]) != 0:
		why = "it has snapshots"
	case incompatible&qcow2.Corrupt != 0:
		why = "it is marked as corrupt"
	case incompatible&^qcow2.Dirty != qcow2.ExtendedL2 || b.Uint64(p[80:]) != 0 || b.Uint64(p[88:])&^marksBit != 0:
		why = "it has features that lunserve does not use"
	case !bytes.Equal(p[20:60], ours[20:60]) || !bytes.Equal(p[96:100], ours[96:100]):
		why = "its tables are elsewhere, or of another kind"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrChanged, why)
}

// errMap is the error of a table that has other pointers than ours, or flags.
var errMap = fmt.Errorf("%w: its map has entries that lunserve does not write", ErrChanged)
