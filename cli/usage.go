package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
)

// A usageError is an error in the command line itself.
type usageError struct{ error }

// Unwrap returns the error itself.
func (e usageError) Unwrap() error { return e.error }

func misuse(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// parse parses the command line. Words after -- are a command to run if the words
// before it serve images.
func parse(c *grammar, args []string, options ...kong.Option) (*kong.Context, error) {
	parser := kong.Must(c, options...)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if name := meant(args[0], parser.Model); name != "" {
			return nil, hint.Try(misuse("%s: no such file or subcommand", args[0]), "lunserve", name)
		}
	}
	if i := slices.Index(args, "--"); i >= 0 {
		if k, err := parser.Parse(args[:i]); err == nil && k.Selected().Target == reflect.ValueOf(&c.Serve).Elem() {
			c.Serve.Command = args[i+1:]
			return k, nil
		}
		*c = grammar{}
	}
	k, err := parser.Parse(args)
	if err != nil {
		if _, try := hint.Split(err); len(try) == 0 && !strings.Contains(err.Error(), "did you mean") {
			err = hint.Try(err, "lunserve", "--help")
		}
		return nil, usageError{err}
	}
	return k, nil
}

// meant returns the subcommand that a word is likely to misspell, or --help or
// --version. It returns nothing if the word is a subcommand or an existing file.
func meant(word string, app *kong.Application) (name string) {
	nearest := 1 + min(2, len(word)/3)
	consider := func(other, typed string) {
		if d := distance(word, other); d < nearest {
			name, nearest = typed, d
		}
	}
	for _, c := range app.Leaves(true) {
		if c.Name == word {
			return ""
		}
		consider(c.Name, c.Name)
	}
	for _, f := range app.Flags {
		consider(f.Name, "--"+f.Name)
	}
	// Checked last, because storage may not answer.
	if name != "" {
		if _, err := os.Lstat(word); !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	return name
}

// distance returns the Damerau-Levenshtein distance: how many letters must be
// added, dropped, changed, or swapped with the next to turn a into b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
