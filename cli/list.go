package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

type listCmd struct {
	Disks []string `arg:"" optional:"" name:"disk" complete:"export" help:"Disks, by name, device or image. Default: all."`
	JSON  bool     `help:"Print a JSON object for each disk, one per line."`
	Names bool     `help:"Print only the names."`
}

// Run lists the disks of all lunserve processes, or some of them.
func (c *listCmd) Run(con *console.Console, out *console.Printer) error {
	all, found, err := find(con, c.Disks)
	if err != nil {
		return err
	}
	if len(c.Disks) > 0 {
		all = found
	}
	if c.JSON {
		for _, k := range all {
			if err := out.JSON(k.Disk); err != nil {
				return err
			}
		}
		return nil
	}
	if c.Names {
		for _, k := range all {
			if err := out.Lines(k.Name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 && console.Columns(os.Stdout) > 0 {
		con.Say("%s", hint.Text(noDisks()))
	}
	return table(out, all)
}

// noDisks says that there is nothing to list, to a person: a program gets nothing.
func noDisks() error {
	if os.Geteuid() == 0 {
		return errors.New("no disks are served")
	}
	return hint.With(errors.New("no disks of this user are served"),
		hint.Command{Words: append(sudo(), "list"), Purpose: "for the disks of root"})
}

// table prints a row for each disk and, below it, the fields that may be long:
// the image, the URL and WWPN, and the users. A name that is long does not push
// the other columns off the terminal: it comes last.
func table(out *console.Printer, all []servedDisk) error {
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{"DEVICE", "SIZE", "FORMAT", "PID", "AGE", "READ", "WRITTEN", "NAME"}}
	for _, k := range all {
		format, _, _ := strings.Cut(k.Format, ",")
		rows = append(rows, []string{cmp.Or(k.Device, "-"), humanize.IBytes(uint64(k.Size)), cmp.Or(format, "-"),
			k.process(), k.age(), humanize.IBytes(k.Done.ReadBytes), humanize.IBytes(k.Done.WrittenBytes), k.Name})
	}
	aligned, err := console.Table(rows, 2, 0)
	if err != nil {
		return err
	}
	lines := []string{aligned[0]}
	for i, k := range all {
		lines = append(lines, aligned[1+i])
		for _, line := range slices.Concat([]string{k.image(), k.URI, k.WWPN}, k.uses(), k.faults()) {
			if line != "" {
				lines = append(lines, "  "+line)
			}
		}
	}
	return out.Lines(lines...)
}

// process is the process id, marked if that process was killed.
func (k *servedDisk) process() string {
	if k.Dead {
		return fmt.Sprintf("%d (dead)", k.PID)
	}
	return fmt.Sprint(k.PID)
}

// image is the image, and which part of it is served.
func (k *servedDisk) image() string {
	if k.Part == "" {
		return k.Image
	}
	return k.Image + ", " + k.Part
}

func (k *servedDisk) age() string {
	if k.Started.IsZero() {
		return "-"
	}
	d := time.Since(k.Started)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

// faults are a power cut, and the rules by which the disk misbehaves.
func (k *servedDisk) faults() (all []string) {
	if k.Outage != nil {
		all = append(all, "without power; "+k.Outage.Sentence())
	}
	for _, f := range k.Faults {
		all = append(all, f.Sentence())
	}
	return all
}

// uses are the users of the disk, such as "mounted on /mnt".
func (k *servedDisk) uses() (all []string) {
	for _, u := range k.Users {
		all = append(all, u.String())
	}
	return all
}
