package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/confine"
	"github.com/lunserve/lunserve/serve/console"
)

type doctorCmd struct {
	Images   []string `arg:"" optional:"" name:"image" complete:"image" help:"Images to check as well."`
	ReadOnly bool     `short:"r" aliases:"readonly" help:"Check for serving read-only."`
	JSON     bool     `help:"Print a JSON object for each check, one per line."`

	imageFlags `embed:""`
}

// A symptom is a finding in the form that is printed.
type symptom struct {
	Status string `json:"status"` // "ok", "warn" or "fail"
	About  string `json:"about"`
	Text   string `json:"text"`
	Try    string `json:"try,omitempty"` // the commands to type
	advice string // Try as people read it
}

// Run checks everything that serving needs, and changes nothing.
func (c *doctorCmd) Run(ctx context.Context, out *console.Printer) error {
	found := configfs.Diagnose()
	ofKernel := len(found)
	need := int64(0) // bytes for temporary files; -1 if unknown
	for _, path := range c.Images {
		options := c.options()
		options.ReadOnly = c.ReadOnly
		r, err := image.CheckOpen(ctx, path, options)
		is := r.Info.String()
		if r.Size > 0 {
			is += ", " + humanize.IBytes(uint64(r.Size))
		}
		if image.IsURL(path) {
			is += "; can be opened"
		} else {
			is += "; can be opened and locked"
		}
		if r.SectorSize == 4096 && r.Serve != "" {
			is += "; serve it with " + r.Serve
		}
		name := image.Name(path)
		found = append(found, configfs.Finding{About: name, Is: is, Err: err})
		for _, fact := range r.Server {
			f := configfs.Finding{About: fact.Host, Is: fact.Is}
			if fact.Warn {
				f.Err, f.Minor = errors.New(fact.Is), true
			}
			found = append(found, f)
		}
		for _, note := range r.Notes {
			found = append(found, configfs.Finding{About: name, Err: errors.New(note), Minor: true})
		}
		if r.Temporary < 0 || need < 0 {
			need = -1
		} else {
			need += r.Temporary
		}
	}
	found = append(found, confinement(), c.room(need))
	found = append(found, leftovers()...)

	all := []symptom{}
	failed, others := 0, 0
	for i, f := range found {
		s := newSymptom(f)
		if s.Status == "fail" {
			failed++
			if i >= ofKernel {
				others++
			}
		}
		var err error
		if c.JSON {
			err = out.JSON(s)
		} else {
			err = out.Lines(s.fold(all).lines(console.Columns(os.Stdout))...)
		}
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	if failed == 0 {
		return nil
	}
	err := fmt.Errorf("images cannot be served: %s", plural(failed, "failed check"))
	if others > 0 {
		return err
	}
	words := []string{"lunserve", "--userspace"}
	for _, path := range c.Images {
		words = append(words, hint.Path(path))
	}
	if len(c.Images) == 0 {
		words = append(words, "FILE")
	}
	return hint.With(err, hint.Command{Words: words, Purpose: "to serve iSCSI without the kernel"})
}

// confinement says what the kernel offers to confine a server.
func confinement() configfs.Finding {
	s := confine.Offered()
	f := configfs.Finding{About: "confinement", Is: s.String(), Minor: true}
	if s.Landlock == 0 {
		f.Err = fmt.Errorf("%v, but no Landlock (CONFIG_SECURITY_LANDLOCK, and landlock in lsm=), so a server can open any file", s)
	}
	return f
}

// room checks the space for temporary files, which may take need bytes.
func (c *doctorCmd) room(need int64) configfs.Finding {
	free, err := image.Room(c.tempDir())
	f := configfs.Finding{About: c.tempDir(), Is: humanize.IBytes(uint64(free)) + " free for temporary files", Err: err, Minor: need == 0}
	switch {
	case err != nil:
	case need < 0:
		f.Is += "; they will take as much as the image holds"
	case need > free:
		f.Minor = true // the files are sparse, and rarely written in full
		f.Err = hint.With(fmt.Errorf("%s, but temporary files may take %s", f.Is, humanize.IBytes(uint64(need))),
			hint.Command{Words: []string{"--tmpdir", "DIR"}, Purpose: "to name another directory"})
	case need > 0:
		f.Is += ", which may take " + humanize.IBytes(uint64(need))
	}
	return f
}

// leftovers returns the disks whose lunserve was killed.
func leftovers() (all []configfs.Finding) {
	exports, _ := configfs.Exports() // an error of configfs is a finding already
	for _, e := range exports {
		if !e.Alive {
			why := hint.Try(errors.New("its lunserve was killed"), "lunserve", "detach", e.Name)
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
	text, try := hint.Split(f.Err)
	s.Text = strings.TrimPrefix(strings.TrimPrefix(text, f.About+": "), f.About+" is ")
	switch {
	case len(try) == 0:
	case try[0].Instead != "": // no command
		s.Text += "; " + hint.Advice(try)
	default:
		s.advice = hint.Advice(try)
		var commands []string
		for _, c := range try {
			commands = append(commands, c.String())
		}
		s.Try = strings.Join(commands, ", or ")
	}
	return s
}

// fold returns s or, if one before has the same text, a reference to that.
func (s symptom) fold(before []symptom) symptom {
	for _, b := range before {
		if s.Status != "ok" && s.Text == b.Text && s.Try == b.Try {
			return symptom{Status: s.Status, About: s.About, Text: "as " + b.About}
		}
	}
	return s
}

// lines returns s for people, on one line or wrapped to fit a terminal of this
// many columns. The command to try is never wrapped, so that it can be copied.
func (s symptom) lines(columns int) []string {
	head, indent := fmt.Sprintf("%-4s  %-18s ", s.Status, hint.Visible(s.About)), 4+2+18+1
	text, advice := hint.Visible(s.Text), hint.Visible(s.advice) // their widths count
	if advice != "" && columns == 0 {
		text += "; " + advice
	}
	lines := strings.Split(head+wrap(text, columns, utf8.RuneCountInString(head), indent), "\n")
	if advice != "" && columns > 0 {
		lines = append(lines, strings.Repeat(" ", indent)+advice)
	}
	return lines
}

// wrap breaks text at blanks to fit a terminal of this width. The text begins
// at column at; further lines are indented. A width of 0, or one too narrow for
// the indent, leaves the text on one line.
func wrap(text string, columns, at, indent int) string {
	if columns < indent+20 {
		return text
	}
	var b strings.Builder
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
