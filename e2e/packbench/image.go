package main

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// The files that are packed: a file system, more than half of it holes, and an
// archive of the same files, without holes.
const (
	diskImage = "disk.img"
	data      = "data.tar"

	imageSize = 4 << 30
	dataSize  = 1500 << 20
)

// makeImages makes them from files below root.
func makeImages(root string) error {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	// A mixture of all kinds, the same each time.
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	var size int64
	for _, path := range files {
		n, err := copyFile(path, filepath.Join("files", path))
		if err != nil {
			return err
		}
		if size += n; size > dataSize {
			break
		}
	}
	if err := os.WriteFile(diskImage, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(diskImage, imageSize); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"tar", "-cf", data, "files"},
		{"mke2fs", "-q", "-t", "ext4", "-d", "files", diskImage},
	} {
		if _, err := (command{args: args}).run(); err != nil {
			return err
		}
	}
	return os.RemoveAll("files")
}

func copyFile(from, to string) (n int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return io.Copy(out, in)
}

func sizeOf(path string) (int64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
