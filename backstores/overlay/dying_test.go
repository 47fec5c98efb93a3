package overlay_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/raw"
)

var errKilled = errors.New("killed")

// A dyingFile is the file of a process that is killed: after so many changes it
// changes nothing any more. The last one may be done in part, page by page, as
// the kernel stops a write.
type dyingFile struct {
	*raw.Writable
	left int // changes; below 0 for no end
	r    *rand.Rand
}

// step counts a change, and reports whether it is the one that is interrupted.
func (d *dyingFile) step() (last bool, err error) {
	if d.left == 0 {
		return false, errKilled
	}
	d.left--
	return d.left == 0, nil
}

func (d *dyingFile) do(change func() error) error {
	switch last, err := d.step(); {
	case err != nil:
		return err
	case last:
		if d.r.IntN(2) == 0 {
			change()
		}
		return errKilled
	}
	return change()
}

func (d *dyingFile) WriteAt(p []byte, off int64) (int, error) {
	if err := d.WriteVec([][]byte{p}, off, 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *dyingFile) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	last, err := d.step()
	if err == nil && last {
		p := make([]byte, 0, backstores.Length(bufs))
		for _, b := range bufs {
			p = append(p, b...)
		}
		const page = 4096
		end := (off/page + d.r.Int64N(2+int64(len(p))/page)) * page
		d.Writable.WriteAt(p[:min(max(end-off, 0), int64(len(p)))], off)
		err = errKilled
	}
	if err != nil {
		return err
	}
	return d.Writable.WriteVec(bufs, off, f)
}

func (d *dyingFile) Flush() error { return d.do(d.Writable.Flush) }
func (d *dyingFile) Trim(off, n int64) error {
	return d.do(func() error { return d.Writable.Trim(off, n) })
}
func (d *dyingFile) Zero(off, n int64) error {
	return d.do(func() error { return d.Writable.Zero(off, n) })
}
func (d *dyingFile) Resize(n int64) error {
	return d.do(func() error { return d.Writable.Resize(n) })
}

// A mortal is an overlay whose process is killed after so many changes to the
// file, or by die.
type mortal struct {
	*overlay.Overlay
	file *raw.Writable
	base backstores.Backstore
}

func openMortal(t *testing.T, path, base string, session func(fd int) overlay.Session, readOnly bool, left int, r *rand.Rand) (*mortal, error) {
	t.Helper()
	file, err := raw.OpenRegular(path, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	baseFile, err := os.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer baseFile.Close()
	m := &mortal{file: file, base: open(t, base, true)}
	if m.Overlay, err = overlay.Load(&dyingFile{file, left, r}, path, session(file.Fd()), readOnly); err == nil {
		err = m.Attach(m.base, baseFile)
	}
	if err != nil {
		m.die()
		return nil, err
	}
	return m, nil
}

// die is the end of the process: nothing is flushed or written any more.
func (m *mortal) die() {
	m.file.Close()
	m.base.Close()
}
