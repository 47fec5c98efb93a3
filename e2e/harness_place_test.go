package e2e

import (
	"testing"
)

// A place is a kind of storage for images. How lunserve serves an image depends
// on whether its file system supports RWF_NOWAIT.
type place struct {
	name string
	dir  func(t *testing.T) string // makes an empty folder

	// sector is a logical block size to try with it. The two are independent, so not
	// all pairs are tried.
	sector int
}

var places = []place{{"tmpfs", tmpfsDir, 512}, {"ext4", ext4Dir, 4096}}

// tmpfsDir makes a folder on a tmpfs, which never reports that a read would block.
func tmpfsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "-t", "tmpfs", "-o", "size=2G")
	return dir
}

// ext4Dir makes a folder on an ext4 of 1 GiB, which does.
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

// f2fsDir makes a folder on an F2FS, which fails writes with RWF_NOWAIT with
// EINVAL.
func f2fsDir(t *testing.T) string {
	t.Helper()
	file := newImage(t, tmpfsDir(t), 256<<20)
	run(t, "mkfs.f2fs", "-q", file)
	dir := t.TempDir()
	mount(t, loop(t, file), dir, "-t", "f2fs")
	return dir
}
