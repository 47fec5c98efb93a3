package entry

import (
	"crypto/rand"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A file with a hidden name outlives a process that is killed, and can be as large
// as an image. So its process holds an flock on it, and the next one that hides a
// file in the folder removes those that nobody holds. A file system that has no
// flock keeps them.

const hiddenPrefix = ".lunserve-"

func hiddenName() string { return hiddenPrefix + rand.Text() }

// hide creates a file with a hidden name.
func (e *Entry) hide(mode uint32) (fd int, name string, err error) {
	e.sweep()
	for {
		name = hiddenName()
		fd, err = openat(e.folder, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, mode)
		if err != nil {
			return -1, "", err
		}
		held := hold(fd)
		id, err := Of(fd)
		if held != unix.EWOULDBLOCK && err == nil && (&Entry{name: name, folder: e.folder}).is(id) == nil {
			return fd, name, nil
		}
		unix.Close(fd) // another process has swept it, before it was held
	}
}

// sweep removes the hidden files of this user in the folder that nobody holds.
func (e *Entry) sweep() {
	fd, err := openat(e.folder, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	folder := os.NewFile(uintptr(fd), ".")
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, hiddenPrefix) && len(name) == len(hiddenName()) {
			(&Entry{name: name, folder: e.folder}).removeUnheld()
		}
	}
}

func (e *Entry) removeUnheld() {
	fd, err := openat(e.folder, e.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() {
		return
	}
	if hold(fd) == nil && e.is(IDOf(&st)) == nil {
		unix.Unlinkat(e.folder, e.name, 0)
	}
}

// hold marks a hidden file as in use until it is closed. It fails with EWOULDBLOCK
// if another process holds it.
func hold(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }
