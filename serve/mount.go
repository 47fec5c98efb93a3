package serve

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
)

// A mount is where the file system of a disk is mounted for as long as the disk is
// served. It is no user of the disk; the processes that have files open there are.
type mount struct {
	dir  string // absolute, without symbolic links
	kind string // of the file system
	part string // its partition, as in the name of the node, or empty
	node string // of the file system, once it is mounted
}

// mountVar passes the directory to the guard, and to the program that an upgrade
// executes. They do not look at it: it may be gone, and its file system may wait for the
// disk, which nobody serves yet.
const mountVar = "LUNSERVE_MOUNT"

// findMount finds the file system to mount before there is a disk, or returns nil if
// none is to be mounted.
func (s *service) findMount(ctx context.Context) (*mount, error) {
	dir := s.options.MountDir
	if dir == "" {
		return nil, nil
	}
	if s.role != starting {
		return &mount{dir: os.Getenv(mountVar)}, nil
	}
	m := new(mount)
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err == unix.ENOENT {
		return nil, hint.With(fmt.Errorf("%s: %w", dir, err), hint.Command{Words: []string{"mkdir", "-p", hint.Path(dir)}, Purpose: "to make it"})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if m.dir, err = filepath.EvalSymlinks(dir); err == nil {
		m.dir, err = filepath.Abs(m.dir)
	}
	if err == nil {
		err = os.Setenv(mountVar, m.dir)
	}
	if err != nil {
		return nil, err
	}
	i := s.disks[0].image
	if strings.HasPrefix(i.abs, strings.TrimSuffix(m.dir, "/")+"/") {
		return nil, fmt.Errorf("%s: would be hidden by what is mounted on %s", i.path, m.dir)
	}
	number, kind, err := image.FileSystem(ctx, i.path, i.disk())
	if m.kind = kind; number > 0 {
		m.part = fmt.Sprint(number)
	}
	return m, err
}

// mountDisk mounts the file system, or goes on with what the process before has mounted,
// if that is still there. An error is fatal to a start that makes the disk, not to one
// that adopts it: the adopted disk has users.
func (s *service) mountDisk(down *configfs.Undo) error {
	m := s.mount
	if m == nil {
		return nil
	}
	d := s.disks[0]
	if d.orphan != nil {
		m.node = sourceOf(inuse.MountsAt(m.dir), d.address.node)
	}
	if m.node == "" && s.role == starting {
		err := m.mount(s.standing, d.address.node+m.part, d.image.writes == control.Refused)
		switch {
		case err == nil:
		case d.orphan == nil:
			return fmt.Errorf("%s: %w", d.image.path, err)
		default:
			s.console.Warn(fmt.Errorf("%s: %w", d.image.path, err))
		}
	}
	if m.node == "" {
		s.mount = nil
		return nil
	}
	d.mounted = m.dir
	down.For(lunName(d.lun)).Push(func() error {
		defer configfs.Begin("unmount " + m.dir)()
		return m.close()
	})
	return nil
}

// mount has mount(8) mount a node, which knows helpers and options of file systems.
// A foreign file system provides no devices and no set-user-ID programs.
func (m *mount) mount(as standing, node string, readOnly bool) error {
	defer configfs.Begin("mount " + node)()
	options := "nosuid,nodev"
	if readOnly || image.IsReadOnlyFileSystem(m.kind) {
		options += ",ro"
	}
	cmd := exec.Command("mount", "-o", options, node, m.dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := as.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err == nil {
		m.node = node
		return nil
	}
	text, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	err = fmt.Errorf("cannot mount its %s: %w", m.kind, err)
	if text != "" {
		err = fmt.Errorf("cannot mount its %s: %s", m.kind, text)
	}
	if readOnly {
		err = fmt.Errorf("%w; if it was not unmounted, give --snapshot in place of --read-only, so that its journal can be replayed", err)
	}
	return err
}

// sourceOf returns that of the sources of mounts that is a local disk or a partition of
// it, or "".
func sourceOf(sources []string, disk string) string {
	i := slices.IndexFunc(sources, func(source string) bool {
		part, is := strings.CutPrefix(source, disk)
		return is && disk != "" && strings.Trim(part, "0123456789") == ""
	})
	if i < 0 {
		return ""
	}
	return sources[i]
}

// leave unmounts the file system. It returns a text that says why it stays, or "": it
// waits for leaveTime if files are open there. Users that the mount has hidden, as in
// another namespace, show when it is gone.
func (m *mount) leave() (users string) {
	for end := time.Now().Add(leaveTime); ; time.Sleep(50 * time.Millisecond) {
		at := inuse.MountsAt(m.dir)
		if !slices.Contains(at, m.node) {
			return "" // perhaps a user has unmounted it
		}
		if top := at[len(at)-1]; top != m.node {
			return fmt.Sprintf("%s is mounted on %s, over %s", top, m.dir, m.node)
		}
		if err := m.unmount(0); err != nil && err != unix.EBUSY {
			return err.Error()
		} else if err == nil || time.Now().Before(end) {
			continue
		}
		text := "files are open in " + m.dir
		var names []string
		for _, p := range inuse.Inside(m.dir) {
			names = append(names, p.String())
		}
		if len(names) > 0 {
			text += " by " + strings.Join(names, ", ")
		}
		return text
	}
}

// close unmounts the file system even if files are open there: what was written to them
// is flushed, and they fail from then on.
func (m *mount) close() error {
	if at := inuse.MountsAt(m.dir); len(at) == 0 || at[len(at)-1] != m.node {
		return nil
	}
	err := m.unmount(0)
	if err != unix.EBUSY {
		return err
	}
	if dir, err := os.Open(m.dir); err == nil {
		_ = unix.Syncfs(int(dir.Fd())) // the disk shows what it could not write
		dir.Close()
	}
	return m.unmount(unix.MNT_DETACH)
}

func (m *mount) unmount(flags int) error {
	err := unix.Unmount(m.dir, flags|unix.UMOUNT_NOFOLLOW)
	if err == nil || err == unix.EBUSY {
		return err
	}
	return fmt.Errorf("unmount %s: %w", m.dir, err)
}

// is reports whether a user of the disk is this mount, in whatever namespace.
func (m *mount) is(u inuse.User) bool {
	return m != nil && m.node != "" && u.Kind == inuse.Mount && u.Where == m.dir
}

// detachMount returns a step that unmounts what a dead server has mounted of a disk,
// after its removal by force: before, it would wait for the disk.
func detachMount(e configfs.Export) func() error {
	m := &mount{dir: os.Getenv(mountVar)}
	for _, node := range e.Nodes {
		m.node = cmp.Or(m.node, sourceOf(inuse.MountsAt(m.dir), node))
	}
	return func() error {
		if at := inuse.MountsAt(m.dir); m.node == "" || len(at) == 0 || at[len(at)-1] != m.node {
			return nil
		}
		return m.unmount(unix.MNT_DETACH)
	}
}
