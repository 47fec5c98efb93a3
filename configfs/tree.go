package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A tree is what one object made below the target's directory. Its methods are
// the commands of the shell session that it replaces. They keep the first error
// and do nothing after it, so that code which makes objects reads as a list.
//
// A tree is not safe for concurrent use.
type tree struct {
	machine
	undo     Undo
	err      error
	adopting bool          // see adopt.go
	luns     map[int]*tree // see lun
}

// push adds a step that removes something. It is not an error if that no longer
// exists.
func (t *tree) push(step func() error) { t.undo.Push(removal(step)) }

// Close removes everything, newest first. A second Close does nothing.
func (t *tree) Close() error { return t.undo.Close() }

// lun returns a tree for the LUN n of a target. It can be removed before the other
// LUNs, and it is independent of them: if the removal of one hangs, that of others
// does not.
func (t *tree) lun(n int) *tree {
	if t.luns == nil {
		t.luns = make(map[int]*tree)
	}
	x := &tree{machine: t.machine, adopting: t.adopting, err: t.err}
	t.luns[n] = x
	t.undo.add(fmt.Sprint(n), &x.undo)
	return x
}

// removeLUN removes the LUN n of a target, if it has it.
func (t *tree) removeLUN(n int) error {
	if x := t.luns[n]; x != nil {
		return x.Close()
	}
	return nil
}

// path returns the path of a name relative to the target's directory.
func (t *tree) path(name string) string {
	return filepath.Join(t.configfs(), "target", name)
}

// op performs one operation on name. Its error names both.
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

// mkdir makes a directory and so a kernel object. One that exists belongs to
// another program, which is an error unless the tree adopts it.
func (t *tree) mkdir(name string) {
	if t.err != nil {
		return
	}
	if t.err = t.op("mkdir", name, mkdir); t.adopts(t.err) {
		t.err = nil
	}
	if t.err == nil {
		t.push(func() error { return t.op("rmdir", name, unix.Rmdir) })
	}
}

// mkdirShared makes the directory name, which several programs share, unless it
// exists, and in it the directory child, which is ours alone.
//
// The sticky bit marks a shared directory that lunserve made. The last lunserve
// to use it removes it, even if another one made it. Directories of other
// programs stay.
func (t *tree) mkdirShared(name, child string) {
	// The last user may remove the shared directory just before child is in it.
	for tries := 0; t.err == nil; tries++ {
		mark := t.undo
		if t.adopting && exists(t.path(child)) && !t.isAbandoned(child) {
			t.err = fmt.Errorf("%s: is another process's: %w", t.path(child), fs.ErrExist)
			return
		}
		t.joinShared(name)
		t.mkdir(child)
		if !errors.Is(t.err, fs.ErrNotExist) || exists(t.path(name)) || tries == 10 {
			t.setOwnerPID(child)
			return
		}
		t.err, t.undo = nil, mark
	}
}

// setOwnerPID records this process as the owner of a directory, in the
// directory's group: configfs keeps it, and the kernel does not use it.
func (t *tree) setOwnerPID(name string) {
	if t.err == nil {
		t.err = t.op("chown", name, func(path string) error { return t.setGroup(path, t.self().pid) })
	}
}

// ownerPID returns the process that made a directory.
func (t *tree) ownerPID(name string) (pid int) { return t.group(t.path(name)) }

// joinShared makes or joins a shared directory.
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

// isShared reports whether lunserve made a shared directory.
func (t *tree) isShared(name string) bool {
	fi, err := os.Stat(t.path(name))
	return err == nil && fi.Mode()&fs.ModeSticky != 0
}

// leaveShared removes a shared directory unless others use it.
func (t *tree) leaveShared(name string) error {
	err := t.op("rmdir", name, unix.Rmdir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}

// set writes a value to an attribute, without a newline, which some attributes
// would keep. Values may be secrets, so errors do not contain them. An adopting
// tree does not write what is there.
func (t *tree) set(name, value string) {
	if t.err == nil && t.adopting {
		if now, err := readAttribute(t.path(name)); err == nil && now == value {
			return
		}
	}
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

// link makes the link name to the directory to. The kernel resolves it
// immediately, relative to the working directory, so it must be absolute.
func (t *tree) link(to, name string) {
	if t.err != nil {
		return
	}
	t.err = t.op("link", name, func(path string) error { return unix.Symlink(t.path(to), path) })
	if t.adopts(t.err) && t.linksTo(name, to) {
		t.err = nil
	}
	if t.err == nil {
		t.push(func() error { return t.op("unlink", name, unix.Unlink) })
	}
}

func mkdir(path string) error { return unix.Mkdir(path, 0o755) }

// withoutPath returns err without the path that os added.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
