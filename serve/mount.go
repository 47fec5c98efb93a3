package serve

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// findMount finds the file system to mount before there is a disk, or returns nil if
// none is to be mounted.
func (s *service) findMount(ctx context.Context) (*mount, error) {
	dir := s.options.MountDir
	if dir == "" {
		return nil, nil
	}
	m := new(mount)
	var err error
	if m.dir, err = mountPoint(dir); s.role != starting {
		return m, err // it has been mounted, and nothing there can be read before the disk is served
	}
	var st unix.Stat_t
	if err = unix.Stat(dir, &st); err == nil && m.dir == "" {
		err = unix.ENOENT
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err == unix.ENOENT {
		return nil, hint.With(fmt.Errorf("%s: %w", dir, err), hint.Command{Words: []string{"mkdir", "-p", hint.Path(dir)}, Purpose: "to make it"})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	i := s.disks[0].image
	number, kind, err := image.FileSystem(ctx, i.path, i.disk())
	if m.kind = kind; number > 0 {
		m.part = fmt.Sprint(number)
	}
	return m, err
}

// mountPoint returns the path of a directory without symbolic links, and does not ask the
// file system that may be mounted there.
func mountPoint(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for n := 0; err == nil && n < 40; n++ { // as many as the kernel follows
		to, notLink := os.Readlink(dir)
		if notLink != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(dir), to)
		}
		dir = to
	}
	if err != nil || dir == "/" {
		return dir, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(dir)), nil
}

// mountDisk mounts the file system, or goes on with what the process before has mounted.
func (s *service) mountDisk(down *configfs.Undo) error {
	m := s.mount
	if m == nil {
		return nil
	}
	d := s.disks[0]
	if s.role == starting {
		if err := m.mount(s.standing, d.address.node+m.part, d.image.writes == control.Refused); err != nil {
			return fmt.Errorf("%s: %w", d.image.path, err)
		}
	} else if source := inuse.MountedAt(m.dir); strings.Trim(strings.TrimPrefix(source, d.address.node), "0123456789") == "" {
		m.node = source
	}
	d.mounted = m.dir
	down.For(lunName(d.lun)).Push(func() error {
		defer configfs.Begin("unmount " + m.dir)()
		return m.close()
	})
	return nil
}

// mount has mount(8) mount a node, which knows helpers and options of file systems.
// Whoever has made the file system does not get devices or a set-user-ID program.
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

// mounted reports whether the file system is still mounted there, on top.
func (m *mount) mounted() bool { return m.node != "" && inuse.MountedAt(m.dir) == m.node }

// leave unmounts the file system. If files are open there, it waits for leaveTime, and
// then returns a text that names who has them.
func (m *mount) leave() (users string) {
	if m == nil {
		return ""
	}
	for end := time.Now().Add(leaveTime); m.mounted() && m.unmount(0) == unix.EBUSY; time.Sleep(50 * time.Millisecond) {
		if time.Now().Before(end) {
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
	return ""
}

// close unmounts the file system even if files are open there: what was written to them
// is flushed, and they fail from then on.
func (m *mount) close() error {
	if !m.mounted() {
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
