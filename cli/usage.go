package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A usageError is an error in the command line itself.
type usageError struct{ error }

// Unwrap returns the error itself.
func (e usageError) Unwrap() error { return e.error }

func misuse(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// parse parses the command line. kong builds the model of the subcommands that args
// may mean, which takes a third of the time for all; help and errors name the others.
func parse(g *grammar, args []string, options ...kong.Option) (*kong.Context, error) {
	options = append(options, kong.KindMapper(reflect.String, kong.MapperFunc(verbatim)))
	parser := kong.Must(g, append(options, kong.IgnoreFields(notMeant(args)))...)
	l := commandLine{typed: args, app: parser.Model}
	if err := l.read(); err != nil || l.has("help") {
		parser = kong.Must(g, options...)
		l = commandLine{typed: args, app: parser.Model}
		if err := l.read(); err != nil {
			return nil, err
		}
	}
	k, err := parser.Parse(l.canonical())
	if err != nil {
		return nil, usageError{err}
	}
	g.Serve.Command = l.command
	return k, nil
}

// notMeant matches the fields of grammar whose subcommands args do not name, but for
// the default.
func notMeant(args []string) string {
	if slices.Contains(args, "completion") { // a script completes all
		return "^$"
	}
	var others []string
	for _, name := range subcommands() {
		if name != "serve" && !slices.Contains(args, name) {
			others = append(others, name)
		}
	}
	return `^(?i:grammar\.(` + strings.Join(others, "|") + "))$"
}

// subcommands returns the names of all subcommands.
func subcommands() (names []string) {
	for f := range reflect.TypeFor[grammar]().Fields() {
		if _, ok := f.Tag.Lookup("cmd"); ok {
			names = append(names, strings.ToLower(f.Name))
		}
	}
	return names
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
