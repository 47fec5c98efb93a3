package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/hint"
)

// Partition returns where a partition is on the disk of the image at path: its first
// byte, and how many bytes it has. The last of them are missing if the image was cut.
func Partition(ctx context.Context, path string, disk backstores.Backstore, number int) (off, n int64, err error) {
	d, err := readContents(ctx, path, disk)
	if err != nil {
		return 0, 0, err
	}
	for _, v := range d.Volumes[1:] {
		if v.Partition == number && v.Size > v.Missing {
			return v.Start, v.Size, nil
		}
	}
	if len(d.Volumes) == 1 {
		return 0, 0, fmt.Errorf("%s: has no partition table", path)
	}
	return 0, 0, choosePartition(fmt.Sprintf("%s: has no partition %d, but", path, number), d.Volumes[1:])
}

// readContents returns what is on a disk.
func readContents(ctx context.Context, path string, disk backstores.Backstore) (contents.Disk, error) {
	return await(ctx, path, func() (contents.Disk, error) {
		d, err := contents.Read(disk, disk.Size())
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return d, err
	}, func(contents.Disk) {})
}

// choosePartition returns an error that lists partitions, with the flag for each of the
// first.
func choosePartition(text string, all []contents.Volume) error {
	const most = 4
	var names []string
	var try []hint.Command
	for _, v := range all[:min(len(all), most)] {
		names = append(names, v.String())
		try = append(try, hint.Command{Words: []string{"--partition", fmt.Sprint(v.Partition)}})
	}
	if more := len(all) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return hint.With(fmt.Errorf("%s %s", text, strings.Join(names, "; ")), try...)
}

// FileSystem returns the number of the partition, or 0 for the whole disk, that has the
// only file system on the disk of the image at path, and its kind. If there are several,
// the error lists them.
func FileSystem(ctx context.Context, path string, disk backstores.Backstore) (number int, kind string, err error) {
	d, err := readContents(ctx, path, disk)
	if err != nil {
		return 0, "", err
	}
	var found []contents.Volume
	for _, v := range d.Volumes {
		kind, _, _ := strings.Cut(v.Kind, ",") // a partition table may follow
		if slices.Contains(fileSystems, kind) {
			v.Kind = kind
			found = append(found, v)
		}
		if v.Partition == 0 && len(found) > 0 {
			break // its partitions are parts of it, as of a hybrid ISO image
		}
	}
	switch len(found) {
	case 0:
		return 0, "", fmt.Errorf("%s: has no file system that is known, but %s", path, d.Volumes[0])
	case 1:
		return found[0].Partition, found[0].Kind, nil
	}
	return 0, "", choosePartition(path+": has several file systems:", found)
}

// fileSystems are the kinds of contents.Volume that can be mounted, and
// readOnlyFileSystems those of them that are never written.
var (
	fileSystems = append([]string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "ntfs"}, readOnlyFileSystems...)

	readOnlyFileSystems = []string{"iso9660", "squashfs", "erofs"}
)

// IsReadOnlyFileSystem reports whether a kind of file system is never written.
func IsReadOnlyFileSystem(kind string) bool { return slices.Contains(readOnlyFileSystems, kind) }
