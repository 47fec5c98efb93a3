package e2e

import (
	"testing"
)

// A place is a kind of storage for images. What a file system can do without
// waiting decides how lunserve serves what is on it.
type place struct {
	name string
	dir  func(t *testing.T) string // new and empty
}

var places = []place{{"tmpfs", tmpfsDir}, {"ext4", ext4Dir}}

// tmpfsDir is a folder on a tmpfs, which never says that a read would wait.
func tmpfsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "-t", "tmpfs", "-o", "size=2G")
	return dir
}

// ext4Dir is a folder on an ext4, which does. Its space is 1 GiB.
func ext4Dir(t *testing.T) string {
	t.Helper()
	return ext4Of(t, 1<<30)
}

func ext4Of(t *testing.T, size int64) string {
	t.Helper()
	file := newImage(t, tmpfsDir(t), size)
	run(t, "mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard", file)
	dir := t.TempDir()
	mount(t, loop(t, file), dir, "-t", "ext4")
	return dir
}

// f2fsDir is a folder on an F2FS, which fails a write that is not to wait, with
// EINVAL.
func f2fsDir(t *testing.T) string {
	t.Helper()
	file := newImage(t, tmpfsDir(t), 256<<20)
	run(t, "mkfs.f2fs", "-q", file)
	dir := t.TempDir()
	mount(t, loop(t, file), dir, "-t", "f2fs")
	return dir
}

func TestImageOnF2FS(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, f2fsDir(t), 64<<20))
	run(t, "mkfs.ext4", "-q", s.disks[0])
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()
}
