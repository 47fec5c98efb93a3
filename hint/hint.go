// Package hint attaches to an error the commands that may fix it, as data.
//
// Every package may import it, and it imports no other package of lunserve. An
// error with hints reads like one without: its Error leaves them out, and
// wrapping keeps them. [Text] adds them, quoted for a shell, when the error is
// printed; it is the one place that does.
//
// A hint is typed as it stands, perhaps beside a disk that must not be lost. So:
//
//   - An output has a name from [Free]. Nothing is replaced, shortened or removed
//     unless the purpose of the command says so.
//   - No line is proposed that writes to an image which the line that failed
//     would not have written: --read-only, --snapshot and --overlay stay. Often a
//     flag to add will do, or a word to put [Command].Instead of another.
//   - A placeholder is upper-case, and no file is made by its name.
//   - A path that was found in a file is not proposed, only one that was typed.
//   - Nor is the name of another disk: see [NearFiles].
//
// The tests of package cli type each hint that they provoke.
package hint

import (
	"errors"
	"strings"
)

// A Hint is an error and the commands that may fix it, the likeliest first.
type Hint struct {
	Err error
	Try []Command
}

// Try returns err with one command to type, given as its words.
func Try(err error, words ...string) error {
	return With(err, Command{Words: words})
}

// With returns err with commands to type. Without commands, or without an
// error, it returns err as it is.
func With(err error, try ...Command) error {
	if err == nil || len(try) == 0 {
		return err
	}
	return &Hint{err, try}
}

// Error implements error. It leaves the commands out.
func (h *Hint) Error() string { return h.Err.Error() }

// Unwrap returns the error without its commands.
func (h *Hint) Unwrap() error { return h.Err }

// Text is err on one line, each error of a join followed by its commands:
//
//	disk.img: exists; try lunserve disk.img; also other.img: is a directory
func Text(err error) string {
	if all := joined(err); all != nil {
		texts := make([]string, len(all))
		for i, err := range all {
			texts[i] = Text(err)
		}
		return strings.Join(texts, also)
	}
	text, try := Split(err)
	if len(try) > 0 {
		text += "; " + Advice(try)
	}
	return text
}

// OnAdvice, if not nil, gets the commands of each Advice. Tests set it, to type
// what people would.
var OnAdvice func(try []Command)

// Advice is the commands as a person reads them, such as "try A, or B".
func Advice(try []Command) string {
	if OnAdvice != nil {
		OnAdvice(try)
	}
	all := make([]string, len(try))
	for i, c := range try {
		all[i] = c.String()
	}
	if text := strings.Join(all, ", or "); try[0].Instead == "" {
		return "try " + text
	} else {
		return "did you mean " + text + "?"
	}
}

// Rewrite returns err with text in place of the text of each joined error, and
// word in place of each word of its commands.
func Rewrite(err error, text, word func(string) string) error {
	if err == nil {
		return nil
	}
	if all := joined(err); all != nil {
		again := make([]error, len(all))
		for i, err := range all {
			again[i] = Rewrite(err, text, word)
		}
		return errors.Join(again...)
	}
	line, try := Split(err)
	for i := range try {
		try[i] = try[i].rewrite(word)
	}
	return With(errors.New(text(line)), try...)
}

// Split returns err on one line without its commands, and the commands.
func Split(err error) (text string, try []Command) {
	return oneLine(err), commands(err)
}

// oneLine returns the text of err with joined errors on one line. A line break
// of another origin, such as the name of a file, stays: the code that
// prints it escapes it.
func oneLine(err error) string {
	if all := joined(err); all != nil {
		texts := make([]string, len(all))
		for i, err := range all {
			texts[i] = oneLine(err)
		}
		return strings.Join(texts, also)
	}
	text := err.Error()
	for _, inner := range unwrap(err) {
		if lines := inner.Error(); strings.Contains(lines, "\n") {
			text = strings.Replace(text, lines, oneLine(inner), 1)
		}
	}
	return text
}

// also separates the errors of a join.
const also = "; also "

// joined returns the errors that [errors.Join] joined into err, or nil.
func joined(err error) []error {
	e, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	// An error of fmt.Errorf with several %w has text of its own.
	if all := e.Unwrap(); errors.Join(all...).Error() == err.Error() {
		return all
	}
	return nil
}

// commands collects the commands of err and of every error that it wraps.
func commands(err error) (all []Command) {
	if h, ok := err.(*Hint); ok {
		all = append(all, h.Try...)
	}
	for _, inner := range unwrap(err) {
		all = append(all, commands(inner)...)
	}
	return all
}

// unwrap returns the errors that err wraps directly.
func unwrap(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}
