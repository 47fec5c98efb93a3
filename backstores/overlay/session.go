package overlay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A Session identifies a boot of the host and a mount. Within one session a
// file holds everything that was written to it, synced or not.
type Session [16]byte

// SessionOf returns the session that an open file is in. If the host does not
// provide it, each call returns a new one. The plain id of a mount, which Linux has
// before 6.8, may be that of an earlier one that is gone.
func SessionOf(fd int) (s Session) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var st unix.Statx_t
	if err == nil {
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, mountID|unix.STATX_INO, &st)
	}
	if err != nil || st.Mask&mountID == 0 {
		rand.Read(s[:])
		return s
	}
	sum := sha256.Sum256(fmt.Appendf(boot, "%d %d:%d %d", st.Mnt_id, st.Dev_major, st.Dev_minor, st.Ino))
	return Session(sum[:])
}

// mountID asks for the unique id, or the plain one of a kernel that has no other.
const mountID = unix.STATX_MNT_ID_UNIQUE | unix.STATX_MNT_ID

// The marks count only in the session that the record names, and only while two
// bits of the QCOW2 header are set: marksBit and the dirty bit.
//
// A program that does not know the marks leaves them as they are when it writes
// to the file. From then on they would put data that was never flushed over
// what that program has read and written since. QCOW2 has the means against
// that: a program clears autoclear bits that it does not know before it writes.
// QEMU does so when it opens a file for writing. It does not if it opens a file
// for reading and turns to writing later, as "qemu-img commit" does to a backing
// file, but then it clears the dirty bit when it is done (qcow2_do_open,
// qcow2_reopen_prepare and qcow2_mark_clean in QEMU 7.2). So after any writer
// in between at least one of the bits is clear. If it was killed while it
// committed, both may be set: that is the limit of this protection.
//
// begin sets both bits with one write, after it has cleared the marks of others.
// Close clears them, unless the map in the file is incomplete. So a set bit also
// says that an overlay was not closed, which "qemu-img info" prints, and a
// closed overlay can be opened by a lunserve that does not know these bits. If
// that one is killed the marks do not count, as after a power cut.
//
// The order of these writes is that of the process, and none needs a sync: a
// power cut ends the session, and with it the marks.
//
// The dirty bit also says that refcounts may be wrong. Load need not repair them,
// whatever program set it: it accepts only tables that name nothing but clusters of our
// layout, and makeRegion has counted those before a table named them. Counts
// that are too high are harmless.
const (
	marksBit       = 1 << marksBitNumber // of the autoclear features
	marksBitNumber = 55                  // QCOW2 defines 0 and 1
)

// featureNames is a feature name table, for programs that lack these features.
var featureNames = slices.Concat(
	qcow2.FeatureName(0, 4, "extended L2 entries"),
	qcow2.FeatureName(2, marksBitNumber, "lunserve session marks"),
)

// features returns the feature fields of the header that are not 0.
func features(marksCount bool) (incompatible, autoclear uint64) {
	if marksCount {
		return qcow2.ExtendedL2 | qcow2.Dirty, marksBit
	}
	return qcow2.ExtendedL2, 0
}

// featureBytes returns all feature fields.
func featureBytes(marksCount bool) []byte {
	incompatible, autoclear := features(marksCount)
	return qcow2.FeatureBytes(incompatible, 0, autoclear)
}

// marksCount reports whether the header that starts with p has both bits.
func marksCount(p []byte) bool {
	b := binary.BigEndian
	return b.Uint64(p[qcow2.FeaturesAt:])&qcow2.Dirty != 0 && b.Uint64(p[qcow2.FeaturesAt+16:])&marksBit != 0
}

// begin makes the marks of this session count. Those of others are cleared first,
// all of them: with changes in each GiB of 1 TiB that takes 4 to 90 ms (ext4, AMD
// EPYC, 2 shared cores, 2026-11-28), and to leave out what is zero already took 16 ms
// and more.
func (o *Overlay) begin() error {
	h := o.header
	if !h.marksCountIn(o.session) {
		if o.file.Size() < h.fileBytes() {
			if err := backstores.Resize(o.file, h.fileBytes()); err != nil {
				return err
			}
		}
		for i := range h.regions {
			if o.present[i].Load() == nil {
				continue
			}
			if err := o.file.Zero(h.marksOf(i), marksBytes); err != nil {
				return err
			}
		}
		if _, err := o.file.WriteAt(o.session[:], h.recordAt+sessionAt); err != nil {
			return err
		}
		if _, err := o.file.WriteAt(featureBytes(true), qcow2.FeaturesAt); err != nil {
			return err
		}
		h.record.session, h.marksCount = o.session, true
	}
	o.begun = true
	return nil
}

// Close closes the file and the base. Without a Flush before, the marks still
// count, so that the next Load finds what was written.
func (o *Overlay) Close() error {
	var err error
	if o.begun && o.mapper.complete() {
		_, err = o.file.WriteAt(featureBytes(false), qcow2.FeaturesAt)
	}
	return errors.Join(err, o.cow.Close())
}

// marksCountIn reports whether the marks count in session s.
func (h *header) marksCountIn(s Session) bool { return h.marksCount && h.record.session == s }
