// Package man fills in what the grammar knows of the manual page. The page is
// written by hand but for the lists of flags, which stand between the lines
//
//	.\" flags of SUBCOMMAND, made from the grammar
//	.\" end of flags
package man

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	begin  = `.\" flags of `
	suffix = ", made from the grammar"
	end    = `.\" end of flags`
)

// Fill returns the page with its lists of flags made anew.
func Fill(page string, app *kong.Application) (string, error) {
	var b strings.Builder
	skip := false
	left := app.Leaves(true)
	for line := range strings.Lines(page) {
		text := strings.TrimSuffix(line, "\n")
		if text == end {
			skip = false
		}
		if !skip {
			b.WriteString(line)
		}
		name, ok := strings.CutPrefix(text, begin)
		if !ok {
			continue
		}
		skip = true
		if len(left) == 0 || left[0].Name+suffix != name {
			return "", fmt.Errorf("%s: the flags are not those of the next subcommand", text)
		}
		flags(&b, app.DefaultCmd, left[0])
		left = left[1:]
	}
	if len(left) > 0 {
		return "", fmt.Errorf("no flags of %s", left[0].Name)
	}
	return b.String(), nil
}

// flags lists those of a command, by their groups. What it has in common with
// the one that needs no name is told only there.
func flags(b *strings.Builder, first, c *kong.Node) {
	known := map[string]bool{}
	if c != first {
		for _, f := range first.Flags {
			known[f.Name+f.Help] = true
		}
	}
	group, open, shared := "", false, ""
	for _, f := range c.Flags {
		if f.Hidden {
			continue
		}
		if known[f.Name+f.Help] {
			shared = "How images are read"
			continue
		}
		if f.Group != nil && f.Group.Title != group {
			if open {
				fmt.Fprintln(b, ".El")
			}
			group, open = f.Group.Title, false
			fmt.Fprintf(b, ".Ss %s\n", strings.TrimSuffix(group, ":"))
			b.WriteString(prose(f.Group.Description))
		}
		if !open {
			fmt.Fprintln(b, ".Bl -tag -width Ds")
			open = true
		}
		fmt.Fprintf(b, ".It %s\n%s", title(f), prose(f.Help))
		if f.HasDefault {
			fmt.Fprintf(b, "The default is\n.Cm %s .\n", f.Default)
		}
	}
	if open {
		fmt.Fprintln(b, ".El")
	}
	if shared != "" {
		fmt.Fprintf(b, ".Pp\nThe flags under\n.Sx %s\nare for this subcommand, too.\n", shared)
	}
}

// title is a flag with all its names and what its value stands for.
func title(f *kong.Flag) string {
	t := "Fl Fl " + f.Name
	if f.Short != 0 {
		t = "Fl " + string(f.Short) + " , " + t
	}
	value := "Ar " + f.Name
	switch {
	case f.Enum != "":
		value = "Cm " + strings.Join(f.EnumSlice(), " | ")
	case f.PlaceHolder != "":
		value = "Ar " + f.PlaceHolder
	}
	switch {
	case f.IsBool() && f.PlaceHolder != "":
		return t + " Ns Op = Ns " + value
	case f.IsBool() || f.IsCounter():
		return t
	}
	return t + " Ns = Ns " + value
}

// prose is help as text of a page: as mdoc has it, each sentence begins a line,
// and none is longer than 80 bytes.
func prose(help string) string {
	var b strings.Builder
	n := 0 // bytes in the line
	for word := range strings.FieldsSeq(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(help)) {
		switch {
		case n == 0:
		case n+1+len(word) > 80:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		if n == 0 && strings.ContainsAny(word[:1], ".'") {
			b.WriteString(`\&`) // or it would be a macro
		}
		b.WriteString(word)
		if n += len(word); strings.HasSuffix(word, ".") {
			b.WriteByte('\n')
			n = 0
		}
	}
	if n > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
