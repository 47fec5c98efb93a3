// Package overlay keeps writes separate from the image that they are made to,
// for the life of the process ([Snapshot]) or in a QCOW2 file ([Overlay]).
//
// Package image imports it and opens its files. The package opens and locks no
// file, and never writes to a base.
package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/hint"
)

// An Overlay keeps the changes to a base in a file. The file is a QCOW2 image,
// so that qemu-img can show, check and convert it if its base is a raw image, or a
// QCOW2 image without a backing file. For any other base the format of the base is
// given as "lunserve", which QEMU refuses: it would take compressed data for a disk.
//
// QCOW2 allows the properties that keep it small and safe here. Every part has a
// fixed offset in a sparse file, as in [layout]. The address of a cluster never
// changes, and serves only to check the file. Extended L2 entries have a bit for
// each 4 KiB of a cluster of 128 KiB, so a write of 4 KiB copies nothing. A
// trimmed block is a hole that is present. So only the map of present blocks
// changes, and its bits change from 0 to 1 only: a power cut does no harm
// without a journal or a second copy (see [mapWriter]), and qemu-img check finds
// no error at any time. A header extension holds what QCOW2 has no field for:
// exact size, identity of the base, version, checksums (see [record]). Other
// programs keep it and ignore it. QCOW2 has no checksum for the map itself;
// Load compares its other half, the addresses.
//
// A format of our own would be no smaller except for the header, would have
// checksums on the map, and so would need two copies of it. No other program
// could read it.
//
// The marks follow the end of the QCOW2 image: a byte for each block that has
// become present, written with it and never synced. After the process was
// killed they name the blocks that were acknowledged and not flushed. After a
// power cut the data may be lost and they mean nothing. After another program
// has written to the file they would undo that. So they count only in the
// [Session] in which they were made, and while no other program has opened the
// file for writing.
//
// An Overlay finds what another program has written to blocks in place. If a
// program has changed anything but data and presence bits, Load refuses the
// file with [ErrChanged]; qemu-img convert can read it.
type Overlay struct {
	cow
	header  *header
	path    string
	session Session
	writes  bool // opened for writing
	begun   bool // see begin
}

// Base describes the image that a new overlay is made for.
type Base struct {
	File   BaseFile
	Path   string // absolute, or the name of a file elsewhere
	Size   int64  // of the disk in it
	Format string // by QEMU's name, "lunserve" if it has none
}

// New returns the contents of an overlay for a base: the length of the file, and
// a function that writes to a file of that many zeros.
func New(base Base) (bytes int64, write func(File) error, err error) {
	if base.Size > maxBytes {
		return 0, nil, fmt.Errorf("%s: its size of %d bytes is too large for an overlay", base.Path, base.Size)
	}
	if len(base.Path) > maxNameBytes {
		return 0, nil, fmt.Errorf("%s: the path is too long for an overlay", base.Path)
	}
	h := &header{layout: layOut(base.Size), base: base.Path, format: base.Format}
	if h.record.id, err = identify(base.File); err != nil {
		return 0, nil, err
	}
	return h.fileBytes(), h.writeTo, nil
}

// writeTo makes an overlay without changes from a file of zeros.
func (h *header) writeTo(file File) error {
	parts := h.frame()
	parts[0] = h.bytes()
	for off, p := range parts {
		if _, err := file.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}

// Load reads an overlay, except for its data, from an open and locked file at
// path, and changes nothing. It has no base yet, see Attach. If Load fails the
// file stays open.
func Load(file File, path string, s Session, readOnly bool) (*Overlay, error) {
	o := &Overlay{path: path, session: s, writes: !readOnly}
	var err error
	if o.header, err = readHeader(file); err == nil {
		err = o.load(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// readHeader reads the header, and checks that the file has the parts before
// the tables.
func readHeader(file backstores.Backstore) (*header, error) {
	p := make([]byte, min(file.Size(), HeaderBytes))
	if err := backstores.ReadVec(file, [][]byte{p}, 0, 0); err != nil {
		return nil, err
	}
	h, err := parseHeader(p)
	if err != nil {
		return nil, err
	}
	return h, checkLength(file, h.l2)
}

// checkLength returns an error if a file ends before a part that it needs. Past
// the last cluster that a table names it may end: a copy may lack the marks, and
// QEMU cuts off what it does not know.
func checkLength(file backstores.Backstore, n int64) error {
	if file.Size() < n {
		return fmt.Errorf("is cut short: it has %d bytes of %d", file.Size(), n)
	}
	return nil
}

// load reads the map.
func (o *Overlay) load(file File) error {
	h := o.header
	o.file, o.start, o.size = file, h.data, h.size
	o.present = newBlockmap(h.size)
	o.mapper = newMapWriter(file, h.layout, o.present)
	refPointers := make([]byte, h.refBlocks-h.refTable)
	if err := backstores.ReadVec(file, [][]byte{refPointers}, h.refTable, 0); err != nil {
		return err
	}
	if !bytes.Equal(refPointers, h.refPointers()) {
		return errMap
	}
	l1 := make([]byte, 8*h.regions)
	if err := backstores.ReadVec(file, [][]byte{l1}, h.l1, 0); err != nil {
		return err
	}
	table := make([]byte, clusterBytes)
	marks := make([]byte, marksBytes)
	h.marksCount = h.marksCount && file.Size() >= h.fileBytes()
	replay := h.marksCountIn(o.session)
	for i := range h.regions {
		switch binary.BigEndian.Uint64(l1[i*8:]) {
		case 0:
			continue
		case uint64(h.table(i)) | qcow2.Copied:
		default:
			return errMap
		}
		if err := checkLength(file, h.table(i)+clusterBytes); err != nil {
			return err
		}
		if err := backstores.ReadVec(file, [][]byte{table}, h.table(i), 0); err != nil {
			return err
		}
		r := new(region)
		if err := h.decode(table, i, r); err != nil {
			return err
		}
		if err := checkLength(file, min(h.data+(i+1)*regionBytes, h.end)); err != nil {
			return err
		}
		o.present[i].Store(r)
		if replay {
			if err := backstores.ReadVec(file, [][]byte{marks}, h.marksOf(i), 0); err != nil {
				return err
			}
			o.mapper.replayMarks(i, marks)
		}
	}
	return nil
}

// Attach puts the overlay over its base, which must be the image that it was
// made over, and is in file. If a commit has begun, Attach takes only the image
// that it has begun to change. From then on the overlay can be written, unless it
// was opened read-only, and Close also closes the base.
func (o *Overlay) Attach(base backstores.Backstore, file BaseFile) error {
	if o.Committed() {
		return hint.With(fmt.Errorf("%s: is already merged into its base", o.path),
			hint.Command{Words: []string{"rm", hint.Path(o.path)}, Purpose: "to remove it"})
	}
	if base.Size() != o.size {
		return fmt.Errorf("%s: is a disk of %d bytes, and %s was made over one of %d", file.Name(), base.Size(), o.path, o.size)
	}
	check := func() error { return o.Fits(file) }
	if o.Committing() {
		check = func() error { return o.checkCommitting(base, file.Name()) }
	}
	err := check()
	if errors.Is(err, ErrTime) && o.writes {
		// What only the marks name gets into the map, where other programs find it.
		if flushErr := o.Flush(); flushErr != nil {
			return errors.Join(err, flushErr)
		}
	}
	if err != nil {
		return err
	}
	if o.writes {
		if err := o.begin(); err != nil {
			return err
		}
	}
	o.base = base
	return nil
}

// Owes returns the failure after which every Flush fails, or that which the file has
// to return from the next one, or nil.
func (o *Overlay) Owes() error {
	if err := o.mapper.failure(); err != nil {
		return err
	}
	if file, ok := o.file.(interface{ Owes() error }); ok {
		return file.Owes()
	}
	return nil
}

// A Held is an overlay that another program of this process can go on with.
type Held interface {
	// Fd returns the file descriptor, which stays the overlay's, or -1.
	Fd() int

	// Fits returns an error unless the base, whose file is also open as file, is
	// the one that the overlay was made over, and unchanged.
	Fits(file BaseFile) error
}

// Fits implements [Held].
func (o *Overlay) Fits(file BaseFile) error { return o.header.record.id.check(file, o.path) }

// Fd implements [Held].
func (o *Overlay) Fd() int {
	if f, ok := o.file.(interface{ Fd() int }); ok {
		return f.Fd()
	}
	return -1
}

// Base returns the path and the format of the base, as it was when the overlay
// was made. Both come from a file that others may have written: the path is to be
// shown, and not to be opened without the consent of the user.
func (o *Overlay) Base() (path, format string) { return o.header.base, o.header.format }

// Kept returns the number of bytes that the overlay holds.
func (o *Overlay) Kept() int64 { return o.present.blocks() * BlockBytes }

// Run reports whether the block at off is changed, and for how many of the n
// bytes from there the answer is the same.
func (o *Overlay) Run(off, n int64) (same int64, changed bool) { return o.present.run(off, n) }

// ReadOnly returns the overlay without the abilities that change it.
func (o *Overlay) ReadOnly() backstores.Backstore {
	return struct {
		backstores.Backstore
		backstores.VectorReader
		backstores.Extenter
		Held
	}{o, o, o, o}
}
