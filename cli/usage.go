package cli

import (
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
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
		return nil, err
	}
	k, err := parser.Parse(l.canonical())
	if err != nil {
		return nil, usageError{err}
	}
	g.Serve.Command = l.command
	return k, nil
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
