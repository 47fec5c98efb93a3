package serve

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/entry"
)

// A draft is a file that holds its text, and gets its name later: to give a name takes
// fewer rights than to write. It is dropped unless it is published.
type draft struct {
	kind fileKind
	path string
	text []byte
	name *entry.Entry
	file *entry.File // nil if there is something else at path, or err is set
	err  error       // that publish returns
}

// draft makes a draft, unless something other than a file is at path.
func (k fileKind) draft(path string, text []byte) *draft {
	d := &draft{kind: k, path: path, text: text}
	if st, err := os.Lstat(path); err != nil || st.Mode().IsRegular() {
		d.err = d.make()
	}
	return d
}

func (d *draft) make() (err error) {
	if d.name, err = entry.At(d.path); err != nil {
		return err
	}
	if d.file, err = d.name.New(d.kind.mode); err != nil {
		d.name.Close()
		return err
	}
	for text := d.text; len(text) > 0 && err == nil; {
		var n int
		n, err = unix.Write(d.file.Fd, text)
		text = text[max(n, 0):]
	}
	if err != nil {
		d.drop()
	}
	return err
}

// publish gives the file its name. If there is a stream at path by now, publish sends it
// the text if the kind is written once, else opens it.
func (d *draft) publish() (f *ownFile, err error) {
	defer d.drop()
	if f, err = d.stream(); f != nil || err != nil {
		return f, err
	}
	if d.file == nil && d.err == nil {
		d.err = d.make()
	}
	if d.err != nil {
		return nil, d.err
	}
	old, err := d.kind.older(d.name, d.path)
	if err != nil {
		return nil, err
	}
	if old >= 0 {
		defer unix.Close(old)
	}
	if err := d.file.Publish(old); err != nil {
		return nil, err
	}
	f = &ownFile{File: os.NewFile(uintptr(d.file.Fd), d.path), name: d.name, text: d.text}
	d.file = nil // it is f's
	return f, nil
}

func (d *draft) stream() (*ownFile, error) {
	if d.kind.once {
		stop, err := entry.Send(d.path, d.text)
		if stop == nil {
			return nil, err
		}
		return &ownFile{stop: stop}, err
	}
	stream, err := entry.Stream(d.path)
	if stream == nil {
		return nil, err
	}
	return &ownFile{File: stream}, err
}

// drop forgets a file that was not published.
func (d *draft) drop() {
	if d.file == nil {
		return
	}
	d.file.Unname()
	unix.Close(d.file.Fd)
	d.name.Close()
	d.file = nil
}
