package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"unicode/utf16"

	"github.com/lunserve/lunserve/hint"
)

// A Printer prints text that may hold what others wrote: names of files and
// processes, labels, answers of servers. Each text is one line, whatever is in
// it, and what is not visible in it is escaped. So it can neither forge another
// line nor control a terminal.
type Printer struct {
	to io.Writer
}

// NewPrinter returns a Printer to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{w} }

// IsUnread reports whether a write failed because the reader of standard output
// has ended, as head does. Other programs are then killed by SIGPIPE, silently.
func IsUnread(err error) bool {
	e, ok := errors.AsType[*fs.PathError](err)
	return ok && e.Path == os.Stdout.Name() && errors.Is(e, syscall.EPIPE)
}

// Line prints a line.
func (p *Printer) Line(format string, a ...any) error { return p.Lines(fmt.Sprintf(format, a...)) }

// Lines prints each text as a line, all of them in one write.
func (p *Printer) Lines(texts ...string) error {
	_, err := io.WriteString(p.to, lines(texts...))
	return err
}

// lines returns each text as a line that is [hint.Visible].
func lines(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString(hint.Visible(text))
		b.WriteByte('\n')
	}
	return b.String()
}

// Schema is the version of the objects that JSON prints. A field may be added to them;
// with a higher version, fields are gone or mean something else.
const Schema = 1

// JSON prints v, a struct, as an object on a line, whose first field is "schema". Its
// strings keep their characters, as those that are not visible get an escape of JSON.
func (p *Printer) JSON(v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	object, is := strings.CutPrefix(b.String(), "{")
	if !is {
		return fmt.Errorf("%T is no object", v)
	}
	if !strings.HasPrefix(object, "}") {
		object = "," + object
	}
	_, err := fmt.Fprintf(p.to, `{"schema":%d%s`, Schema, escapeJSON(object))
	return err
}

// escapeJSON escapes what is not visible in the strings of encoded JSON. Line
// breaks stand between values: those in strings are escaped already.
func escapeJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case utf16.RuneLen(r) == 2:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Table returns rows of cells as lines with aligned columns, which are gap
// blanks apart. The flags are those of [tabwriter.NewWriter].
func Table(rows [][]string, gap int, flags uint) ([]string, error) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, gap, ' ', flags)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = hint.Visible(cell)
		}
		if _, err := io.WriteString(w, strings.Join(cells, "\t")+"\n"); err != nil {
			return nil, err
		}
	}
	err := w.Flush()
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"), err
}
