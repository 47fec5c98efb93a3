package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/control"
)

// contents describes what initiators find on the disk of an image: two disks
// with the same contents, of which one is dead, are the same disk. It is empty
// if the image cannot be identified. kind is that of the options. The identity of the
// image comes first.
func (i *openedImage) contents(kind string) string {
	id, err := i.id()
	if err != nil {
		return ""
	}
	text := fmt.Sprintf("%s %s block=%d", id, i.writes, i.blockSize)
	if kind != "" {
		text += " " + kind
	}
	if word := i.partWord(); word != "" {
		text += " " + word
	}
	if i.thin {
		text += " " + thinWord
	}
	if len(i.backing) > 0 {
		chain := sha256.New() // a device has room for few identities
		for n, b := 0, image.Backing(i.base); b != nil; n, b = n+1, image.Backing(b) {
			id, err := identify(b, i.backing[n])
			if err != nil {
				return ""
			}
			fmt.Fprintln(chain, id)
		}
		text += " backing=" + hex.EncodeToString(chain.Sum(nil)[:16])
	}
	if i.overlay != "" {
		over, err := i.overlayID()
		if err != nil {
			return ""
		}
		text += " over=" + over
	}
	return text
}

// id identifies the image.
func (i *openedImage) id() (string, error) { return identify(i.base, i.abs) }

// identify identifies the image at an absolute path: the file, or what is at a URL,
// by its version there.
func identify(s backstores.Backstore, path string) (string, error) {
	if id, remote := image.RemoteID(s); id != "" {
		return id, nil
	} else if remote {
		return "", errors.New("the server does not identify the image")
	}
	if f, ok := s.(interface{ Fd() int }); ok {
		return fileID(f.Fd())
	}
	return pathID(path)
}

func (i *openedImage) overlayID() (string, error) {
	if f, ok := i.store.(interface{ Fd() int }); ok && f.Fd() >= 0 {
		return fileID(f.Fd())
	}
	return pathID(i.overlay)
}

// isOfImage reports whether contents are those of the image, or of a part of it,
// perhaps with other layers.
func (i *openedImage) isOfImage(contents string) bool {
	id, err := i.id()
	return err == nil && strings.HasPrefix(contents, id+" ")
}

// isOf is isOfImage for the same part.
func (i *openedImage) isOf(contents string) bool {
	if !i.isOfImage(contents) {
		return false
	}
	if word := i.partWord(); word != "" {
		return slices.Contains(strings.Fields(contents), word)
	}
	return !strings.Contains(contents, " "+partPrefix)
}

// isInPlace reports whether contents are those of a disk that writes its image.
func isInPlace(contents string) bool {
	return strings.Contains(contents, " "+string(control.InPlace)+" ")
}

// keepsWrites reports whether contents survive the process that served them.
func keepsWrites(contents string) bool {
	return contents != "" && !strings.Contains(contents, " "+string(control.Temporary)+" ")
}

func readLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func pathID(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return fileID(fd)
}

// fileID identifies an open file or block device in this boot, whatever its
// path. The number of an inode is used again after the file is removed, so the
// time of its birth counts as well, or the handle where the file system has no
// such time. FUSE changes its handles while it runs. The number of a block
// device is used again too, as that of a loop device is; diskseq is not.
func fileID(fd int) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		number := fmt.Sprintf("%d:%d", st.Rdev_major, st.Rdev_minor)
		return "device=" + number + "/" + diskseq(number), nil
	}
	id := fmt.Sprintf("file=%d:%d/%d", st.Dev_major, st.Dev_minor, st.Ino)
	if st.Mask&unix.STATX_BTIME != 0 {
		return fmt.Sprintf("%s/%d.%09d", id, st.Btime.Sec, st.Btime.Nsec), nil
	}
	const fuse = 0x65735546 // FUSE_SUPER_MAGIC
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err == nil && fs.Type != fuse {
		if handle, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH); err == nil {
			id += "/" + hex.EncodeToString(handle.Bytes())
		}
	}
	return id, nil
}

// diskseq returns the sequence number of the disk that a block device is or is a
// part of, or "" before Linux 5.15.
func diskseq(number string) string {
	dir := filepath.Join("/sys/dev/block", number)
	for _, name := range []string{"diskseq", "../diskseq"} {
		if text, err := readLine(filepath.Join(dir, name)); err == nil {
			return text
		}
	}
	return ""
}
