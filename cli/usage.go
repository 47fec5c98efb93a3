package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
)

// A usageError is an error in the command line itself.
type usageError struct{ error }

// Unwrap returns the error itself.
func (e usageError) Unwrap() error { return e.error }

func misuse(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// parse parses the command line.
func parse(g *grammar, args []string, options ...kong.Option) (*kong.Context, error) {
	parser := kong.Must(g, append(options, kong.KindMapper(reflect.String, kong.MapperFunc(verbatim)))...)
	l := commandLine{typed: args, app: parser.Model}
	if err := l.read(); err != nil {
		return nil, withoutQueries(err)
	}
	k, err := parser.Parse(l.canonical())
	if err != nil {
		return nil, usageError{err}
	}
	g.Serve.Command = l.command
	return k, nil
}

// withoutQueries returns an error of the command line whose commands to type do not
// repeat what may be a secret.
func withoutQueries(err error) error {
	text, try := hint.Split(err)
	for i, c := range try {
		words := slices.Clone(c.Words)
		for j, word := range words {
			// as in --backing=URL
			flag, value, ok := strings.Cut(word, "=")
			switch {
			case image.IsURL(word):
				words[j] = image.Typed(word)
			case ok && image.IsURL(value):
				words[j] = flag + "=" + image.Typed(value)
			}
		}
		try[i].Words = words
	}
	return hint.With(misuse("%s", text), try...)
}

// verbatim decodes a string as it was typed. A file name is any bytes; kong's own
// decoder passes them through JSON, which replaces those that are not UTF-8.
func verbatim(ctx *kong.DecodeContext, target reflect.Value) error {
	word, err := ctx.Scan.PopValue("word")
	if err == nil {
		target.SetString(word.String())
	}
	return err
}
