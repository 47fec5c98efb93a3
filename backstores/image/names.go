package image

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// plain returns path as a word that no program takes for a flag, or for a URL
// or another machine, as QEMU and tar do if there is a colon before the first
// slash.
func plain(path string) string {
	if i := strings.IndexAny(path, ":/"); i >= 0 && path[i] == ':' {
		return "./" + path
	}
	return hint.Path(path)
}

// rawName returns the usual name of the raw image that is made from path.
func rawName(path string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path))
	if ext := filepath.Ext(name); ext == ".img" || ext == ".raw" {
		return name
	}
	if name+".img" == path || name == "" {
		return name + ".raw"
	}
	return name + ".img"
}

// innerName returns the usual name of the file that is compressed in path: that
// without the extension, if it has another, as in disk.qcow2.gz.
func innerName(path string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path))
	if ext := filepath.Ext(name); len(ext) > 1 && name != path && strings.Trim(ext[1:], "0123456789") != "" {
		return name
	}
	return rawName(path)
}

// tarName returns the usual name of the disk in a tar archive, compressed or not.
func tarName(path string) string {
	if name := strings.TrimSuffix(path, filepath.Ext(path)); filepath.Ext(name) == ".tar" {
		return innerName(name)
	}
	return innerName(path)
}

// folderName returns the usual name of the folder for the members of an archive.
func folderName(path string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path))
	name = strings.TrimSuffix(name, ".tar")
	if name == path || slices.Contains([]string{"", ".", ".."}, filepath.Base(name)) || strings.HasSuffix(name, "/") {
		return path + ".d"
	}
	return name
}
