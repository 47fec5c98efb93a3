package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

type addCmd struct {
	Disk   string   `arg:"" name:"disk" complete:"export" help:"A disk of the lunserve that is to serve the images as well, by name (see lunserve list), device or image."`
	Images []string `arg:"" name:"image" complete:"image" help:"Raw images: files or block devices. Words behind a name are for this image, as in disk.img,ro."`
	JSON   bool     `help:"Print a JSON object for each disk, one per line."`
}

// Run opens the images, which a confined lunserve cannot, and has them served.
func (c *addCmd) Run(ctx context.Context, con *console.Console, out *console.Printer) error {
	_, found, err := find(con, []string{c.Disk})
	if err != nil {
		return err
	}
	d := found[0]
	if d.Dead {
		return hint.Try(fmt.Errorf("%s: its lunserve was killed (pid %d)", d.Name, d.PID), "lunserve", "detach", "--force", d.Name)
	}
	client, err := d.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	var images []serve.Image
	for _, arg := range c.Images {
		i, _, err := parseImage(arg, serve.Image{})
		if err != nil {
			return err
		}
		images = append(images, i)
	}
	var disks []control.Disk
	for n, i := range images {
		disk, err := addImage(ctx, con, client, d.PID, c.Images[n], i)
		if err != nil {
			return errors.Join(c.print(out, disks), err)
		}
		disks = append(disks, disk)
	}
	return c.print(out, disks)
}

// print prints the disks as a start does.
func (c *addCmd) print(out *console.Printer, disks []control.Disk) error {
	if c.JSON {
		for _, d := range disks {
			if err := out.JSON(d); err != nil {
				return err
			}
		}
		return nil
	}
	var lines []string
	for _, part := range []func(control.Disk) string{
		func(d control.Disk) string { return d.Device },
		func(d control.Disk) string { return d.URI },
		func(d control.Disk) string { return d.WWPN },
	} {
		for _, d := range disks {
			if line := part(d); line != "" && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return out.Lines(lines...)
}

// addImage opens and locks an image, and has it served by the lunserve of a process. Its
// backstores are not closed, which would write to an overlay that is that lunserve's.
func addImage(ctx context.Context, con *console.Console, client *control.Client, pid int, arg string, i serve.Image) (d control.Disk, err error) {
	to := control.Image{ReadOnly: i.ReadOnly, Partition: i.Part.Partition, Offset: i.Part.Offset, Limit: i.Part.Limit}
	own := func(err error) error {
		return hint.With(fmt.Errorf("%s: cannot be added: %w", image.Name(i.Path), err),
			hint.Command{Words: []string{"lunserve", hint.Path(arg)}, Purpose: "to serve it by a lunserve of its own"})
	}
	switch {
	case image.IsURL(i.Path):
		return d, own(errors.New("it is at a URL"))
	case i.Snapshot:
		return d, own(errors.New("its writes are temporary"))
	}
	if to.Path, err = filepath.Abs(i.Path); err != nil {
		return d, err
	}
	bar := con.NewBar()
	defer bar.Clear()
	o := (&imageFlags{}).shown(con, bar)
	o.ReadOnly = i.ReadOnly || i.Overlay != ""
	base, err := image.Open(ctx, i.Path, o)
	if err != nil {
		return d, inWords(err, arg)
	}
	to.Size = base.Size()
	top := base
	if i.Overlay != "" {
		if to.Overlay, err = filepath.Abs(i.Overlay); err != nil {
			return d, err
		}
		if top, _, err = image.OpenOverlay(ctx, i.Overlay, base, i.Path, i.ReadOnly); err != nil {
			return d, err
		}
	}
	file, over, err := image.HandOver(base, top)
	if err != nil {
		return d, own(err)
	}
	bar.Clear()
	fds := slices.DeleteFunc([]int{file, over}, func(fd int) bool { return fd < 0 })
	d, err = client.Add(ctx, to, fds, func(path string) (*os.File, error) { return openRing(path, pid) })
	if err == nil {
		_ = letGo(fds) // or they are locked until this process ends
	}
	return d, err
}

// letGo closes files that another process has got, and with that this process's part in
// their locks. Backstores still have the descriptors, so these lead to no other file.
func letGo(fds []int) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range fds {
		err = errors.Join(err, unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC))
	}
	return err
}

// inWords returns err with its hints as words behind the image, in the place of flags. No
// image is made in the place of one that is missing.
func inWords(err error, arg string) error {
	try, err := withoutHints(err)
	for i, c := range try {
		if slices.Equal(c.Words, []string{"--read-only"}) {
			try[i] = hint.Command{Words: []string{arg + ",ro"}, Instead: arg}
		}
	}
	try = slices.DeleteFunc(try, func(c hint.Command) bool {
		return strings.HasPrefix(c.Words[0], "-") || slices.Contains(c.Words, "--size")
	})
	return hint.With(err, try...)
}

// openRing opens the ring of a device that a process has made. It opens nothing else for
// that process, which is confined.
func openRing(path string, pid int) (*os.File, error) {
	exports, err := configfs.Exports()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(exports, func(e configfs.Export) bool { return e.UIO == path && e.PID == pid }) {
		return nil, fmt.Errorf("%s: is no ring of process %d", path, pid)
	}
	return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
}
