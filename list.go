package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

type listCmd struct {
	JSON  bool `help:"Print an object a line, one for each disk."`
	Names bool `help:"Print the names alone."`
}

// Run lists the disks of all lunserves.
func (c *listCmd) Run() error {
	all, err := running()
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		for _, k := range all {
			if err := e.Encode(k.state); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if !c.Names && len(all) > 0 {
		fmt.Fprintln(w, "NAME\tDEVICE\tSIZE\tPID\tAGE\tREAD\tWRITTEN\tFORMAT\tIMAGE\tIN USE")
	}
	for _, k := range all {
		if c.Names {
			fmt.Fprintln(w, k.Name)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.ways(), humanize.IBytes(uint64(k.Size)),
			k.process(), k.age(), humanize.IBytes(k.Done.ReadBytes), humanize.IBytes(k.Done.WrittenBytes),
			or(strings.SplitN(k.Format, ",", 2)[0]), k.Image, strings.Join(k.uses(), ", "))
	}
	return w.Flush()
}

// ways are by what the disk is used.
func (k *known) ways() string {
	var all []string
	for _, way := range []string{k.Device, k.URI, k.WWPN} {
		if way != "" {
			all = append(all, way)
		}
	}
	return or(strings.Join(all, " "))
}

// process is the process id; a killed one's says so.
func (k *known) process() string {
	if k.Dead {
		return fmt.Sprintf("%d (dead)", k.PID)
	}
	return fmt.Sprint(k.PID)
}

func (k *known) age() string {
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

// uses are who uses the disk, such as "mounted on /mnt".
func (k *known) uses() (all []string) {
	for _, user := range k.Users {
		all = append(all, strings.TrimPrefix(user, k.Device+" is "))
	}
	return all
}

// or is s, or a dash where there is nothing.
func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
