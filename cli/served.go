package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

// A servedDisk is a disk that a lunserve on this machine has made.
type servedDisk struct {
	control.Disk
	kernel       configfs.Export
	notAnswering bool // its process exists but does not answer
}

// dial connects to the process that serves the disk, unless the process is
// known not to answer.
func (d *servedDisk) dial() (*control.Client, error) {
	if d.notAnswering {
		return nil, control.NotAnswering(d.PID)
	}
	return control.Dial(d.PID)
}

// servedDisks returns all disks that lunserve made on this machine, by name: for root
// those of the kernel, which has the basic facts of each, and the disks of --userspace
// that belong to this user. Processes that answer supply the rest.
func servedDisks(con *console.Console) ([]servedDisk, error) {
	control.Sweep()
	var exports []configfs.Export
	if os.Geteuid() == 0 { // others have only disks of --userspace
		var err error
		if exports, err = configfs.Exports(); err != nil {
			return nil, err
		}
		_ = configfs.Sweep(exports) // what it cannot remove does no harm here
	}
	var all []servedDisk
	known := make(map[string]control.Disk)
	silent := make(map[int]bool)
	asked := make(map[int]bool)
	for _, e := range exports {
		if e.Alive && !asked[e.PID] {
			asked[e.PID] = true
			disks, err := disksOf(e.PID)
			for _, d := range disks {
				known[d.Name] = d
			}
			if errors.Is(err, control.ErrNotAnswering) {
				silent[e.PID] = true
				con.Warn(err)
			}
		}
		d, ok := known[e.Name]
		if !ok {
			d = serve.KernelView(e)
		}
		all = append(all, servedDisk{d, e, silent[e.PID]})
	}
	for _, pid := range control.Processes() {
		if asked[pid] {
			continue
		}
		disks, err := disksOf(pid) // of --userspace, or about to be made or removed
		if errors.Is(err, control.ErrNotAnswering) {
			con.Warn(err)
		}
		for _, d := range disks {
			if d.Direct {
				all = append(all, servedDisk{Disk: d})
			}
		}
	}
	slices.SortFunc(all, func(a, b servedDisk) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// disksOf asks a process for its disks.
func disksOf(pid int) ([]control.Disk, error) {
	c, err := control.Dial(pid)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Disks()
}

// matches reports whether a word on the command line means the disk.
func (d *servedDisk) matches(what string) bool {
	if slices.Contains([]string{d.Name, d.Image, d.Device, strings.TrimPrefix(d.Device, "/dev/"), d.URI, d.WWPN}, what) {
		return what != ""
	}
	if image.IsURL(what) {
		return image.Name(what) == d.Image
	}
	if !filepath.IsAbs(d.Image) { // a URL, or no image
		return false
	}
	if path, err := filepath.Abs(what); err == nil && path == d.Image {
		return what != "" // even if it is gone
	}
	typed, err := os.Stat(what)
	if err != nil {
		return false
	}
	served, err := os.Stat(d.Image)
	return err == nil && os.SameFile(typed, served)
}

// find returns the disks that the words mean, each once.
func find(con *console.Console, words []string) (all, found []servedDisk, err error) {
	if all, err = servedDisks(con); err != nil {
		return nil, nil, err
	}
	for _, word := range words {
		var names []string
		for _, d := range all {
			if d.matches(word) {
				if !slices.ContainsFunc(found, func(f servedDisk) bool { return f.Name == d.Name }) {
					found = append(found, d)
				}
				names = append(names, d.Name)
			}
		}
		switch len(names) {
		case 0:
			return nil, nil, notServed(word)
		case 1:
		default:
			return nil, nil, fmt.Errorf("%s: matches %s; give one of these names", image.Name(word), strings.Join(names, ", "))
		}
	}
	return all, found, nil
}

// notServed is the error of a word that means no disk. Only root sees those of root.
func notServed(word string) error {
	err := fmt.Errorf("%s: not served by lunserve", image.Name(word))
	if os.Geteuid() == 0 {
		return hint.Try(err, "lunserve", "list")
	}
	return hint.With(err, hint.Command{Words: []string{"lunserve", "list"}},
		hint.Command{Words: append(sudo(), "list"), Purpose: "for the disks of root"})
}
