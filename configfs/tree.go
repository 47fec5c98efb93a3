package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A tree is what one object has made below the target's folder. Its verbs are
// those of the shell session that it replaces; they keep the first error and do
// nothing after it, so that a set-up reads as the list of what is set up.
//
// A tree is not safe for concurrent use.
type tree struct {
	machine
	undo Undo
	err  error
}

// push adds a step that removes something. That it is gone already is no error.
func (t *tree) push(step func() error) { t.undo.Push(removal(step)) }

// Close removes everything, newest first. A second Close does nothing.
func (t *tree) Close() error { return t.undo.Close() }

// path is where a name relative to the target's folder is.
func (t *tree) path(name string) string {
	return filepath.Join(t.configfs(), "target", name)
}

// op does one thing to name, and says so if it cannot.
func (t *tree) op(verb, name string, do func(path string) error) error {
	defer t.busy.begin(verb + " " + t.path(name))()
	var err error
	if t.before != nil {
		err = t.before(verb, name)
	}
	if err == nil {
		err = do(t.path(name))
	}
	if err != nil {
		return explain(verb, name, fmt.Errorf("%s: %s: %w", t.path(name), verb, err))
	}
	if t.after != nil {
		t.after(verb, name)
	}
	return nil
}

// mkdir makes a folder, which makes a kernel object. That it exists already is
// an error: then it is somebody else's.
func (t *tree) mkdir(name string) {
	if t.err != nil {
		return
	}
	if t.err = t.op("mkdir", name, mkdir); t.err == nil {
		t.push(func() error { return t.op("rmdir", name, unix.Rmdir) })
	}
}

// share makes a folder that several programs use, unless it is there, and then
// a folder in it that is ours alone.
//
// The sticky bit says that lunserve made the shared one, and that the last
// lunserve to leave removes it: whoever made it may be gone by then. One that
// somebody else made stays.
func (t *tree) mkdirShared(name, child string) {
	// The last user of the folder may remove it just before we make ours in it.
	for tries := 0; t.err == nil; tries++ {
		mark := t.undo
		t.joinShared(name)
		t.mkdir(child)
		if !errors.Is(t.err, fs.ErrNotExist) || exists(t.path(name)) || tries == 10 {
			t.setOwnerPID(child)
			return
		}
		t.err, t.undo = nil, mark
	}
}

// sign says whose a folder is: its group is the process that made it, which is
// the one thing that the kernel keeps there and has no use for itself.
func (t *tree) setOwnerPID(name string) {
	if t.err == nil {
		t.err = t.op("chown", name, func(path string) error { return t.setGroup(path, t.self().pid) })
	}
}

// signer is the process that made a folder.
func (t *tree) ownerPID(name string) (pid int) { return t.group(t.path(name)) }

// enter is the first half of share.
func (t *tree) joinShared(name string) {
	err := t.op("mkdir", name, mkdir)
	if err == nil {
		t.push(func() error { return t.leaveShared(name) })
		t.err = t.op("chmod", name, func(path string) error { return unix.Chmod(path, 0o755|unix.S_ISVTX) })
		return
	}
	if !errors.Is(err, fs.ErrExist) {
		t.err = err
		return
	}
	if t.isShared(name) {
		t.push(func() error { return t.leaveShared(name) })
	}
}

// isShared tells whether lunserve made a folder that others may use.
func (t *tree) isShared(name string) bool {
	fi, err := os.Stat(t.path(name))
	return err == nil && fi.Mode()&fs.ModeSticky != 0
}

// leave removes a folder unless others are in it.
func (t *tree) leaveShared(name string) error {
	err := t.op("rmdir", name, unix.Rmdir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}

// set writes a value to an attribute, without a newline: some keep it. The
// value is in no error, since some are secrets.
func (t *tree) set(name, value string) {
	if t.err == nil {
		t.err = t.op("write", name, func(path string) error { return write(path, value) })
	}
}

// get reads an attribute.
func (t *tree) get(name string) (value string) {
	if t.err == nil {
		t.err = t.op("read", name, func(path string) (err error) {
			value, err = readAttribute(path)
			return withoutPath(err)
		})
	}
	return value
}

// link makes the link name to the folder to. The kernel looks that up at once,
// from the working directory, hence an absolute path.
func (t *tree) link(to, name string) {
	if t.err != nil {
		return
	}
	t.err = t.op("link", name, func(path string) error { return unix.Symlink(t.path(to), path) })
	if t.err == nil {
		t.push(func() error { return t.op("unlink", name, unix.Unlink) })
	}
}

func mkdir(path string) error { return unix.Mkdir(path, 0o755) }

// bare is err without the path that os put before it.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// printable is s without what would garble a terminal or a name, at most n
// bytes of it.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
