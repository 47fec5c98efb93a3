package cli

import (
	"context"
	"fmt"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/configfs"
)

type doctorCmd struct {
	Images   []string `arg:"" optional:"" name:"image" complete:"image" help:"Images to check as well."`
	ReadOnly bool     `short:"r" aliases:"readonly" help:"Check for serving read-only."`
	JSON     bool     `help:"Print a JSON array with an object for each check."`

	imageFlags `embed:""`
}

// A symptom is a finding as it is printed.
type symptom struct {
	Status string `json:"status"` // "ok", "warn" or "fail"
	About  string `json:"about"`
	Text   string `json:"text"`
	Try    string `json:"try,omitempty"` // what to type
}

// Run looks at everything that serving needs, and changes nothing.
func (c *doctorCmd) Run(ctx context.Context, con *console.Console) error {
	found := configfs.Diagnose()
	need := int64(0) // bytes for temporary files; -1 is not known
	for _, path := range c.Images {
		options := c.options()
		options.ReadOnly = c.ReadOnly
		r, err := backstores.Rehearse(path, options)
		is := r.Facts.String()
		if r.Size > 0 {
			is += ", " + humanize.IBytes(uint64(r.Size))
		}
		found = append(found, configfs.Finding{About: path, Is: is + "; can be opened and locked", Err: err})
		if r.Temporary < 0 || need < 0 {
			need = -1
		} else {
			need += r.Temporary
		}
	}
	found = append(found, c.room(need))
	found = append(found, leftovers()...)

	all := []symptom{}
	failed := 0
	for _, f := range found {
		s := newSymptom(f)
		if s.Status == "fail" {
			failed++
		}
		if all = append(all, s); !c.JSON {
			s.print()
		}
	}
	if c.JSON {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("nothing can be served, for %s", plural(failed, "reason"))
	}
	return nil
}

// room looks at the space for temporary files, of which need bytes may be used.
func (c *doctorCmd) room(need int64) configfs.Finding {
	free, err := backstores.Room(c.TmpDir)
	f := configfs.Finding{About: c.TmpDir, Is: humanize.IBytes(uint64(free)) + " free for temporary files", Err: err, Minor: need == 0}
	switch {
	case err != nil:
	case need < 0:
		f.Is += ", of which as much is used as is in the image"
	case need > free:
		f.Minor = true // sparse, and rarely written in whole
		f.Err = fmt.Errorf("%s, but temporary files may take %s; try --tmpdir DIR to name another folder", f.Is, humanize.IBytes(uint64(need)))
	case need > 0:
		f.Is += ", which may take " + humanize.IBytes(uint64(need))
	}
	return f
}

// leftovers are the disks of lunserves that were killed.
func leftovers() (all []configfs.Finding) {
	exports, _ := configfs.Exports() // what is wrong with configfs is found elsewhere
	for _, e := range exports {
		if !e.Alive {
			why := fmt.Errorf("its lunserve was killed; try lunserve detach %s", e.Name)
			all = append(all, configfs.Finding{About: e.Name, Err: why, Minor: true})
		}
	}
	return all
}

func newSymptom(f configfs.Finding) symptom {
	if f.Err == nil {
		return symptom{Status: "ok", About: f.About, Text: f.Is}
	}
	s := symptom{Status: "fail", About: f.About}
	if f.Minor {
		s.Status = "warn"
	}
	text := strings.TrimPrefix(strings.TrimPrefix(hint.Text(f.Err), f.About+": "), f.About+" is ")
	s.Text, s.Try, _ = strings.Cut(text, "; try ")
	return s
}

// print prints s for people.
func (s symptom) print() {
	text := s.Text
	if s.Try != "" {
		text += "; try " + s.Try
	}
	fmt.Printf("%-4s  %-18s %s\n", s.Status, s.About, text)
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
