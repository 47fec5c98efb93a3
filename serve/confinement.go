package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/confine"
	"github.com/lunserve/lunserve/serve/control"
)

// A server gives up what it needs no more before its first command is executed:
// when its images are open, its modules loaded, its devices made and its guard
// started. The guard is not confined: it sees which processes use a disk, and takes
// the place of a server that was killed.
//
// What a server starts later is confined as it is. So it keeps what a guard needs
// that it starts in place of a killed one, which may have to open the images again.
// A command of --run must not be confined, and it starts last: a server that has
// one is not confined either. Nor is one that mounts a file system, which Landlock would
// keep it from unmounting, or one with an image at a URL: it looks up hosts and
// makes connections until its end.
//
// A target of --userspace is confined when it listens, and before it accepts: later it
// opens no sockets but that for lunserve list.
//
// The program that a server executes for an upgrade is confined as the server is. It
// gives up no more: what the new version no longer needs, it gives up from the next start
// on.

// kept are the capabilities that a server needs until its end.
var kept = []int{
	unix.CAP_CHOWN,            // the mark of targets is their group
	unix.CAP_DAC_OVERRIDE,     // files of others, in folders of others
	unix.CAP_FOWNER,           // in sticky folders, too
	unix.CAP_NET_ADMIN,        // a large buffer for uevents
	unix.CAP_NET_BIND_SERVICE, // portals below 1024, for which the kernel asks the process
	unix.CAP_SYS_ADMIN,        // BLKFLSBUF
	unix.CAP_SYS_RESOURCE,     // holdOut, and the space that file systems reserve
}

// confine gives up what this process needs no more, if it can.
func (s *service) confine() {
	switch {
	case s.role == removing || len(s.options.Command) > 0 || s.options.MountDir != "" || s.readsURLs():
		return
	case s.role == upgrading:
		s.confined = s.taken.Confined
		return
	}
	l := confine.Limits{Capabilities: kept}
	if s.guard != nil || s.options.Userspace {
		_ = control.MakeDir() // listen returns the error
		l.Paths = s.paths()
	}
	if s.guard != nil {
		s.guard.Confine()
	} else if !s.options.Userspace {
		l.Capabilities = append(l.Capabilities, unix.CAP_SYS_PTRACE) // it has to see for itself
	}
	var err error
	if s.confined, err = confine.Process(l); err != nil {
		s.console.Warn(fmt.Errorf("keeps rights that it does not need: %w", err))
	}
	if s.guard != nil && !s.confined.NoNewPrivs { // a program with cgo
		s.guard.Unconfined()
	}
}

// readsURLs reports whether an image or a backing file is at a URL.
func (s *service) readsURLs() bool {
	return slices.ContainsFunc(s.options.Open.Backing, image.IsURL) ||
		slices.ContainsFunc(s.options.Images, func(i Image) bool { return image.IsURL(i.Path) })
}

// paths returns what a server opens, makes and removes when its disks are made, and
// what the guard does that it may start.
func (s *service) paths() []confine.Path {
	const (
		read  = confine.Read
		write = confine.Read | confine.Write
	)
	paths := []confine.Path{
		{Name: "/proc", Rights: read},
		{Name: os.DevNull, Rights: write},
		{Name: "/etc/localtime", Rights: read},
		{Name: control.Dir(), Rights: confine.All},
	}
	if !s.options.Userspace {
		paths = append(paths, ofKernel()...)
	}
	for _, d := range s.disks {
		paths = append(paths, s.pathsOf(d)...)
	}
	// The trace is open, and the pid file gets its name and is removed.
	paths = append(paths, stream(s.options.PIDFile), stream(s.options.TraceFile))
	if s.options.PIDFile != "" {
		paths = append(paths, folderOf(s.options.PIDFile, confine.Read|confine.Name|confine.RemoveFile))
	}
	if o := s.options.ISCSI; o != nil && o.CHAPFile != "" {
		paths = append(paths, confine.Path{Name: o.CHAPFile, Rights: read})
	}
	return paths
}

// ofKernel returns what it takes to make and remove disks and targets of the kernel,
// and to execute this program again.
func ofKernel() []confine.Path {
	const (
		read  = confine.Read
		write = confine.Read | confine.Write
	)
	paths := []confine.Path{
		{Name: "/sys", Rights: read},
		{Name: "/sys/devices/tcm_loop_0", Rights: write}, // local disks
		{Name: "/sys/module/tcm_loop/parameters/nr_hw_queues", Rights: write},
		{Name: "/sys/kernel/config/target", Rights: confine.All},
		// The node of a disk appears later. What is stacked on it is flushed, too.
		{Name: "/dev", Rights: read | confine.Ioctl},
		{Name: "/etc/machine-id", Rights: read},
		{Name: "/lib/modules", Rights: read}, // of modules that are built in
	}
	if dir, err := configfs.ReservationsDir(); err == nil { // the last lunserve removes it, and that which it is in
		paths = append(paths, confine.Path{Name: dir, Rights: confine.All},
			folderOf(dir, confine.RemoveDir), folderOf(filepath.Dir(dir), confine.RemoveDir))
	}
	return append(paths, program()...)
}

// pathsOf returns those of a disk.
func (s *service) pathsOf(d *disk) []confine.Path {
	const write = confine.Read | confine.Write
	var paths []confine.Path
	if !d.image.scratch {
		paths = append(paths, confine.Path{Name: d.image.abs, Rights: write | confine.Ioctl},
			confine.Path{Name: d.image.overlay, Rights: write})
	}
	for _, file := range d.image.backing {
		paths = append(paths, confine.Path{Name: file, Rights: confine.Read})
	}
	if d.orphan != nil {
		paths = append(paths, confine.Path{Name: d.orphan.UIO, Rights: write})
	} else if !s.options.Userspace {
		paths = append(paths, confine.Path{Name: d.device.kernel.UIO, Rights: write})
	}
	if file, err := filepath.EvalSymlinks(d.image.abs); err == nil && s.options.Size > 0 && !d.image.scratch {
		// A start that fails removes the image that it has made.
		paths = append(paths, folderOf(d.image.abs, confine.Read|confine.RemoveFile), folderOf(file, confine.Read|confine.RemoveFile))
	}
	if !d.image.scratch && image.RawFormat(d.image.base) == "" { // it is unpacked to a file, or its index is kept
		paths = append(paths, confine.Path{Name: s.options.Open.TempDir, Rights: confine.All})
		if dir, err := image.CacheDir(); err == nil {
			paths = append(paths, confine.Path{Name: dir, Rights: confine.All})
		}
	}
	return paths
}

// stream returns the path of a stream that takes the place of an ownFile, or that of a
// link to one.
func stream(file string) (p confine.Path) {
	if st, err := os.Lstat(file); err == nil && !st.Mode().IsRegular() {
		p = confine.Path{Name: file, Rights: confine.Read | confine.Write}
	}
	return p
}

func folderOf(file string, r confine.Rights) confine.Path {
	return confine.Path{Name: filepath.Dir(file), Rights: r}
}

// program returns what it takes to execute this program again. In a folder of
// programs it may be replaced by a newer one. Others there cannot be executed unless
// they are static: the dynamic loader is elsewhere.
func program() []confine.Path {
	const execute = confine.Read | confine.Execute
	paths := []confine.Path{{Name: "/proc/self/exe", Rights: execute}}
	if path, err := os.Executable(); err == nil {
		paths = append(paths, confine.Path{Name: path, Rights: execute})
		if isAmongPrograms(path) {
			paths = append(paths, confine.Path{Name: filepath.Dir(path), Rights: execute})
		}
	}
	return paths
}

// isAmongPrograms reports whether a program is in a folder that has nothing else.
func isAmongPrograms(path string) bool {
	return slices.Contains([]string{"bin", "sbin"}, filepath.Base(filepath.Dir(path)))
}
