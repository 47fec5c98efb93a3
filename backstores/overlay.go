package backstores

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An overlay keeps what is written over a base, in a file. The file is a QCOW2
// image, so that qemu-img can look at it, check it and convert it where its
// base is a raw image. (Over any other the format of the base is given as
// "lunserve", which QEMU refuses: it would take compressed data for a disk.)
//
// QCOW2 allows what makes it small and safe here. All has its place from the
// start, as in [layout], in a sparse file; a cluster's address never changes,
// and tells nothing but that the file is whole. With extended L2 entries, of
// which each has a bit for each 4 KiB of its 128 KiB, a write of 4 KiB copies
// nothing. A trimmed block is a hole that is present. So what changes is the
// map of present blocks alone, in which bits go from 0 to 1 and never back:
// neither journal nor second copy is needed for a power cut to do no harm (see
// [keeper]), and qemu-img check finds no error at any time. What QCOW2 has no
// place for is in a header extension of ours: exact size, identity of the
// base, version, checksums (see [record]). Other programs keep it and skip it.
// The map itself has no checksum in QCOW2; its other half, the addresses, is
// all compared.
//
// A format of our own would be no smaller but for the header, have checksums
// on the map, and therefore need two copies of it. No other program would
// read it.
//
// Past QCOW2's end lie the marks: a byte for each block that has become
// present, written with it and never synced. When the process is killed, they
// find what was acknowledged and not flushed; after a power cut they mean
// nothing, as the data they tell of may be gone, and so they count only in the
// boot and mount in which they were made.
//
// What another program writes to blocks in their place is found by us. One
// that discards, or takes snapshots, leaves addresses or a header that are not
// in the layout: such a file is refused, and qemu-img convert still reads it.
type overlay struct {
	cow
	header *header
	path   string
}

// OpenOverlay returns a store of what base holds and of the changes kept in the
// file at path, of which there are kept bytes. If there is no file it makes
// one. The base, found at basePath, is never written, and must be what it was
// when the file was made. Closing the store closes it; if OpenOverlay fails it
// stays open.
func OpenOverlay(path string, base Backstore, basePath string, readOnly bool) (b Backstore, kept int64, err error) {
	if err := unix.Access(path, unix.F_OK); err == unix.ENOENT && !readOnly {
		if err := createOverlay(path, base, basePath); err != nil {
			return nil, 0, err
		}
	}
	o, err := openOverlay(path, readOnly)
	if errors.Is(err, errNotOurs) {
		err = fmt.Errorf("%w; give the name of a file that does not exist, to make one", err)
	}
	if err != nil {
		return nil, 0, err
	}
	if r := &o.header.record; r.committing && !r.done {
		err = fmt.Errorf("%s: is half in its base; try lunserve commit %s", path, quote(path))
	} else {
		err = o.over(base, basePath)
	}
	if err != nil {
		o.file.Close()
		return nil, 0, err
	}
	kept = o.changed.blocks() * blockBytes
	if readOnly {
		return struct {
			Backstore
			VectorReader
			Extenter
		}{o, o, o}, kept, nil
	}
	return o, kept, nil
}

// createOverlay makes a file that appears only when it is complete.
func createOverlay(path string, base Backstore, basePath string) error {
	h := &header{layout: layOut(base.Size()), format: formatOf(base)}
	if base.Size() > mostBytes {
		return fmt.Errorf("%s: of %d bytes is too large for an overlay", basePath, base.Size())
	}
	var err error
	if h.base, err = filepath.Abs(basePath); err != nil {
		return err
	}
	if len(h.base) > longestName {
		return fmt.Errorf("%s: the name is too long to be kept in an overlay", h.base)
	}
	if h.record.id, err = identify(basePath); err != nil {
		return err
	}
	d, err := newDraft(filepath.Dir(path), modeOf(basePath))
	if err != nil {
		return err
	}
	defer func() {
		d.forget()
		unix.Close(d.fd)
	}()
	file := new(writableRaw)
	file.open(path, d.fd, h.fileBytes(), 1)
	if err := unix.Ftruncate(d.fd, h.fileBytes()); err != nil {
		return fmt.Errorf("%s: make a file of %d bytes: %w", path, h.fileBytes(), err)
	}
	if err := h.writeTo(file); err != nil {
		return err
	}
	return d.publish(path, false)
}

// writeTo makes an overlay without changes of a file of zeros.
func (h *header) writeTo(file changeable) error {
	parts := h.frame()
	parts[0] = h.bytes()
	for off, p := range parts {
		if _, err := file.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}

func formatOf(base Backstore) string {
	switch base.(type) {
	case *raw, *writableRaw:
		return Raw
	}
	return "lunserve"
}

// openOverlay opens and locks the file, and reads all of it but the data. It
// has no base yet.
func openOverlay(path string, readOnly bool) (_ *overlay, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK // a pipe has no other end
	if readOnly {
		flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	}
	fd, err := openMode(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: is no regular file, as an overlay must be", path)
	}
	if err := lock(path, fd, &st, !readOnly); err != nil {
		return nil, err
	}
	file := new(writableRaw)
	file.open(path, fd, st.Size, 1)
	o := &overlay{path: path}
	if o.header, err = readHeader(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if st.Size < o.header.fileBytes() && !readOnly {
		// Nothing but marks, and a copy may have come without them.
		if err := unix.Ftruncate(fd, o.header.fileBytes()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if !readOnly {
		file.size.Store(max(st.Size, o.header.fileBytes()))
	}
	if err := o.read(file, session(fd), readOnly); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// readHeader reads the header of a file that must be long enough for the rest.
func readHeader(file Backstore) (*header, error) {
	p := make([]byte, min(file.Size(), 16<<10))
	if err := ReadVec(file, [][]byte{p}, 0, 0); err != nil {
		return nil, err
	}
	h, err := parseHeader(p)
	if err == nil && file.Size() < h.end {
		return nil, fmt.Errorf("is cut short: it has %d bytes of %d", file.Size(), h.end)
	}
	return h, err
}

// read reads the map.
func (o *overlay) read(file changeable, session [16]byte, readOnly bool) error {
	h := o.header
	o.file, o.start, o.size = file, h.data, h.size
	o.changed = newBlockmap(h.size)
	o.keeps = newKeeper(file, h.layout, o.changed)
	l1 := make([]byte, 8*h.regions)
	if err := ReadVec(file, [][]byte{l1}, h.l1, 0); err != nil {
		return err
	}
	table := make([]byte, clusterBytes)
	marks := make([]byte, marksBytes)
	marked := h.record.session == session
	for i := range h.regions {
		switch binary.BigEndian.Uint64(l1[i*8:]) {
		case 0:
			continue
		case uint64(h.table(i)) | oneUser:
		default:
			return errChanged
		}
		if err := ReadVec(file, [][]byte{table}, h.table(i), 0); err != nil {
			return err
		}
		r := new(region)
		if err := h.decode(table, i, r); err != nil {
			return err
		}
		o.changed[i].Store(r)
		switch {
		case marked && file.Size() >= h.fileBytes():
			if err := ReadVec(file, [][]byte{marks}, h.marksOf(i), 0); err != nil {
				return err
			}
			o.keeps.recall(i, marks)
		case !marked && !readOnly:
			if err := file.Zero(h.marksOf(i), marksBytes); err != nil {
				return err
			}
		}
	}
	if marked || readOnly {
		return nil
	}
	h.record.session = session
	_, err := file.WriteAt(session[:], h.recordAt+sessionAt)
	return err
}

// over puts the overlay over its base, which must be the one it was made over.
// If the base is half changed, that is told by what is not to be changed.
func (o *overlay) over(base Backstore, path string) error {
	if o.header.record.done {
		return fmt.Errorf("%s: is all in its base already; try rm %s", o.path, quote(o.path))
	}
	if base.Size() != o.size {
		return fmt.Errorf("%s: is a disk of %d bytes, and %s was made over one of %d", path, base.Size(), o.path, o.size)
	}
	if !o.header.record.committing {
		if err := o.header.record.id.check(path, o.path); err != nil {
			return err
		}
	} else if rest, err := o.restOf(base); err != nil {
		return err
	} else if rest != o.header.record.rest {
		return fmt.Errorf("%s: is another image than %s is half in, or was changed since", path, o.path)
	}
	o.base = base
	return nil
}
