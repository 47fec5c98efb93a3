package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/serve/console"
)

type listCmd struct {
	JSON  bool `help:"Print a JSON object for each disk, one per line."`
	Names bool `help:"Print only the names."`
}

// Run lists the disks of all lunserve processes.
func (c *listCmd) Run(con *console.Console) error {
	all, err := servedDisks(con)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		for _, k := range all {
			if err := e.Encode(k.Disk); err != nil {
				return err
			}
		}
		return nil
	}
	if c.Names {
		for _, k := range all {
			if _, err := fmt.Println(k.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return table(all)
}

// table prints a row for each disk and, below it, the fields that may be long:
// the image, the URL and WWPN, and the users. A name that is long does not push
// the other columns off the terminal: it comes last.
func table(all []servedDisk) error {
	if len(all) == 0 {
		return nil
	}
	var rows bytes.Buffer
	w := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSIZE\tFORMAT\tPID\tAGE\tREAD\tWRITTEN\tNAME")
	for _, k := range all {
		format, _, _ := strings.Cut(k.Format, ",")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(k.Device, "-"), humanize.IBytes(uint64(k.Size)), cmp.Or(format, "-"),
			k.process(), k.age(), humanize.IBytes(k.Done.ReadBytes), humanize.IBytes(k.Done.WrittenBytes), k.Name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	lines := strings.Split(rows.String(), "\n")
	text := lines[0] + "\n"
	for i, k := range all {
		text += lines[1+i] + "\n"
		for _, line := range append([]string{k.Image, k.URI, k.WWPN}, k.uses()...) {
			if line != "" {
				text += "  " + line + "\n"
			}
		}
	}
	_, err := io.WriteString(os.Stdout, text)
	return err
}

// process is the process id, marked if that process was killed.
func (k *servedDisk) process() string {
	if k.Dead {
		return fmt.Sprintf("%d (dead)", k.PID)
	}
	return fmt.Sprint(k.PID)
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

// uses are the users of the disk, such as "mounted on /mnt".
func (k *servedDisk) uses() (all []string) {
	for _, u := range k.Users {
		all = append(all, u.String())
	}
	return all
}
