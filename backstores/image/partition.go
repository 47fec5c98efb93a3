package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/contents"
	"github.com/lunserve/lunserve/hint"
)

// Partition returns where a partition is on the disk of the image at path: its first
// byte, and how many of its bytes are on the disk.
func Partition(ctx context.Context, path string, disk backstores.Backstore, number int) (off, n int64, err error) {
	d, err := readContents(ctx, path, disk)
	if err != nil {
		return 0, 0, err
	}
	for _, v := range d.Volumes[1:] {
		if v.Partition == number && v.Size > v.Missing {
			return v.Start, v.Size - v.Missing, nil
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
