// Package man holds the manual page, and generates its lists of flags from the
// grammar.
//
// The rest of the page is written by hand. The lists are between the lines
//
//	.\" flags of SUBCOMMAND, generated from the grammar
//	.\" end of flags
//
// Only the tests of package cli generate the lists: go test ./cli -update rewrites
// the page. The package never reads or writes a file.
package man

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	begin  = `.\" flags of `
	suffix = ", generated from the grammar"
	end    = `.\" end of flags`
)

// Fill returns the page with newly generated lists of flags. The lists must be in
// the order of the subcommands.
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
			return "", fmt.Errorf("%s: not the next subcommand of the grammar", text)
		}
		flags(&b, app.DefaultCmd, left[0])
		left = left[1:]
	}
	if len(left) > 0 {
		return "", fmt.Errorf("the page has no list for the flags of %s", left[0].Name)
	}
	return b.String(), nil
}

// flags lists the flags of subcommand c by group. Flags that c shares with the
// default subcommand are listed there only, and c refers to their groups.
func flags(b *strings.Builder, first, c *kong.Node) {
	groups := map[string]string{} // title by flag of the default subcommand
	if c != first {
		for _, f := range first.Flags {
			if f.Group != nil {
				groups[f.Name+f.Help] = strings.TrimSuffix(f.Group.Title, ":")
			}
		}
	}
	group, open, shared := "", false, []string(nil)
	for _, f := range byGroup(c.Flags) {
		if f.Hidden {
			continue
		}
		if title := groups[f.Name+f.Help]; title != "" {
			if !slices.Contains(shared, title) {
				shared = append(shared, title)
			}
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
	if len(shared) > 0 {
		fmt.Fprintf(b, ".Pp\nThis subcommand also takes the flags under\n.Sx %s .\n", strings.Join(shared, "\nand\n.Sx "))
	}
}

// byGroup returns flags with those of a group together, in the order in which the
// groups begin.
func byGroup(all []*kong.Flag) []*kong.Flag {
	begins := func(f *kong.Flag) int {
		return slices.IndexFunc(all, func(other *kong.Flag) bool {
			return (f.Group == nil) == (other.Group == nil) && (f.Group == nil || f.Group.Key == other.Group.Key)
		})
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b *kong.Flag) int { return begins(a) - begins(b) })
}

// title returns the names of a flag and the placeholder of its value, in mdoc.
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

// prose returns a help text in mdoc: each sentence begins a line, and no line is
// longer than 80 bytes.
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
			b.WriteString(`\&`) // otherwise a macro
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
