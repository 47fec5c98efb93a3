package cli

import (
	"cmp"
	"encoding"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
)

// A commandLine is a command line whose words are sorted: the subcommand, its
// flags with their values, its arguments, and the words of a command after --.
// kong gets them in one order and spelling in which it has nothing to refuse, so
// every error of a command line is worded in this package, and proposes the
// whole line with a change.
type commandLine struct {
	typed []string // without the program's name
	at    int      // the next of them to read

	app     *kong.Application
	node    *kong.Node // the subcommand
	named   bool       // whether it was named
	flags   []given
	words   []string // arguments
	command []string // after --
}

// A given flag is one on the command line.
type given struct {
	*kong.Flag
	value *string // nil if there is none
}

// read sorts all words.
func (l *commandLine) read() (err error) {
	l.node = l.app.DefaultCmd
	for l.at < len(l.typed) && err == nil {
		switch word := l.typed[l.at]; {
		case word == "--":
			err = l.rest(l.typed[l.at+1:])
		case strings.HasPrefix(word, "--"):
			err = l.long(word)
		case len(word) > 1 && word[0] == '-':
			err = l.short(word)
		default:
			err = l.word(word)
		}
	}
	if err != nil || l.has("help") || l.has("version") {
		return err
	}
	return l.checkWords()
}

// canonical returns the words for kong.
func (l *commandLine) canonical() (args []string) {
	if l.named || !l.has("help") && !l.has("version") {
		args = append(args, l.node.Name)
	}
	for _, f := range l.flags {
		word := "--" + f.Name
		if f.value != nil {
			word += "=" + *f.value
		}
		args = append(args, word)
	}
	return append(append(args, "--"), l.words...)
}

// has reports whether a flag was given.
func (l *commandLine) has(name string) bool {
	return slices.ContainsFunc(l.flags, func(f given) bool { return f.Name == name })
}

// rest takes the words after --: a command to run if images precede it, else
// arguments.
func (l *commandLine) rest(words []string) error {
	l.at = len(l.typed)
	switch {
	case l.node != l.app.DefaultCmd || len(l.words) == 0:
		l.words = append(l.words, words...)
	case len(words) == 0:
		// They may come from an empty variable; without a command lunserve
		// would serve until ^C.
		return misuse("no command after --")
	default:
		l.command = words
	}
	return nil
}

// long takes a word such as --size=10G and, if its value is the next word, that.
func (l *commandLine) long(word string) error {
	name, value, has := strings.Cut(word, "=")
	f := l.flag(func(f *kong.Flag) bool { return "--"+f.Name == name || slices.Contains(f.Aliases, name[2:]) })
	if f == nil {
		return l.unknown(name)
	}
	l.at++
	if has {
		return l.give(f, value, l.at-1)
	}
	return l.take(f)
}

// short takes a word of letters, such as -rs or -fo OUT. As to zstd, -19 is a
// level of compression.
func (l *commandLine) short(word string) error {
	start := l.at
	for rest := word[1:]; rest != ""; {
		letter, n := utf8.DecodeRuneInString(rest)
		f := l.flag(func(f *kong.Flag) bool { return f.Short == letter })
		if f == nil && strings.Trim(rest, "0123456789") == "" {
			f, n = l.flag(func(f *kong.Flag) bool { return f.Name == "level" }), 0
		}
		if f == nil {
			return l.unknown("-" + rest[:max(n, 1)])
		}
		rest = rest[n:]
		switch {
		case !f.IsBool() && rest != "":
			l.at++
			return l.give(f, strings.TrimPrefix(rest, "="), start)
		case !f.IsBool():
			l.at++
			return l.take(f)
		case strings.HasPrefix(rest, "="):
			return misuse("-%c takes no value", letter)
		}
		l.flags = append(l.flags, given{f, nil})
	}
	l.at++
	return nil
}

// take takes the next word as the value of f, if f takes one.
func (l *commandLine) take(f *kong.Flag) error {
	if f.IsBool() {
		l.flags = append(l.flags, given{f, nil})
		return nil
	}
	if l.at == len(l.typed) || len(l.typed[l.at]) > 1 && l.typed[l.at][0] == '-' {
		return l.noValue(f, "needs a value", l.at-1, 1)
	}
	l.at++
	return l.give(f, l.typed[l.at-1], l.at-2)
}

// give gives f a value; both begin at the word i.
func (l *commandLine) give(f *kong.Flag, value string, i int) error {
	n := l.at - i
	switch {
	case value == "":
		// It comes from an empty variable. --overlay "" would write to the image.
		return l.noValue(f, "is empty", i, n)
	case f.Target.Kind() == reflect.Bool && !slices.Contains([]string{"true", "false"}, value):
		return hint.With(misuse("--%s takes no value", f.Name), l.instead(i, n, "--"+f.Name))
	}
	_, isSize := reflect.New(f.Target.Type()).Interface().(*size)
	if l.at < len(l.typed) && (isSize || f.PlaceHolder == "SIZE") && isUnit(l.typed[l.at]) {
		if whole := value + l.typed[l.at]; check(f.Value, whole) == nil {
			return hint.With(misuse("--%s %s %s: a size is one word", f.Name, value, l.typed[l.at]), l.instead(i, n+1, "--"+f.Name, whole))
		}
	}
	if value == "-" && f.Tag.Has("complete") {
		return misuse("--%s -: %s", f.Name, notStandard)
	}
	if err := check(f.Value, value); err != nil {
		text, better := hint.Split(err)
		err = misuse("--%s: %s", f.Name, text)
		for j, c := range better {
			example := c.Words[0]
			if isSize && f.HasDefault {
				example = f.Default
			}
			better[j] = l.instead(i, n, "--"+f.Name+"="+example)
		}
		return hint.With(err, better...)
	}
	l.flags = append(l.flags, given{f, &value})
	return nil
}

// noValue returns the error of a flag without a value, whose n words begin at i.
// A placeholder is no hint: --overlay=FILE would make a file of that name.
func (l *commandLine) noValue(f *kong.Flag, is string, i, n int) error {
	example := f.Default
	switch f.PlaceHolder {
	case "SIZE":
		example = cmp.Or(example, "10G")
	case "TIME":
		example = "10s"
	}
	if example == "" {
		return misuse("--%s %s; it is --%s=%s", f.Name, is, f.Name, f.FormatPlaceHolder())
	}
	return hint.With(misuse("--%s %s", f.Name, is), l.instead(i, n, "--"+f.Name+"="+example))
}

// word takes an argument, or the name of the subcommand.
func (l *commandLine) word(word string) error {
	if !l.named && len(l.words) == 0 {
		for _, node := range l.app.Leaves(true) {
			if node.Name == word {
				l.at++
				return l.choose(node)
			}
		}
		if err := l.notSubcommand(word); err != nil {
			return err
		}
	}
	l.at++
	l.words = append(l.words, word)
	return nil
}

// choose makes node the subcommand.
func (l *commandLine) choose(node *kong.Node) error {
	l.node, l.named = node, true
	for i, before := range l.flags {
		f := l.flag(func(f *kong.Flag) bool { return f.Name == before.Name })
		if f == nil {
			return hint.Try(misuse("--%s: not a flag of %s", before.Name, node.Name), "lunserve", node.Name, "--help")
		}
		l.flags[i].Flag = f
	}
	return nil
}

// flag returns the flag of the subcommand that is meant, or nil.
func (l *commandLine) flag(is func(*kong.Flag) bool) *kong.Flag {
	for node := l.node; node != nil; node = node.Parent {
		if i := slices.IndexFunc(node.Flags, is); i >= 0 {
			return node.Flags[i]
		}
	}
	return nil
}

// checkWords checks the number and the spelling of the arguments.
func (l *commandLine) checkWords() error {
	all := l.node.Positional
	for i, arg := range all {
		if arg.Required && len(l.words) <= i {
			return l.needs(arg)
		}
	}
	for i, word := range l.words {
		if i >= len(all) && (len(all) == 0 || !all[len(all)-1].IsSlice()) {
			return hint.Try(misuse("%s: one argument too many", word), "lunserve", l.node.Name, "--help")
		}
		arg := all[min(i, len(all)-1)]
		if err := check(arg, word); err != nil {
			text, _ := hint.Split(err)
			return hint.Try(misuse("%s", text), "lunserve", l.node.Name, "--help")
		}
		if err := l.sizeAsImage(word); err != nil {
			return err
		}
		if word == "-" && arg.Name != "disk" {
			return l.standard(i)
		}
	}
	return nil
}

// needs returns the error of an argument that is missing.
func (l *commandLine) needs(arg *kong.Value) error {
	if l.named {
		return hint.Try(misuse("no %s given", arg.Name), "lunserve", l.node.Name, "--help")
	}
	return hint.Try(misuse("no %s given", arg.Name), "lunserve", "--help")
}

// notStandard is why - is no name. An image is read at random, and an output
// appears when it is complete. A pipe can do neither.
const notStandard = "lunserve reads and writes files, not standard input and output; ./- is a file"

// standard returns the error of the argument i, which is -.
func (l *commandLine) standard(i int) error {
	err := misuse("-: %s", notStandard)
	if i == 0 {
		return hint.With(err, hint.Command{Words: []string{"cat"}, Output: hint.Free("NEW.img"), Purpose: "to make a file of standard input"})
	}
	return err
}

// sizeAsImage returns an error if an image has the form of a size and does not
// exist, as in lunserve -s 10G disk.img.
func (l *commandLine) sizeAsImage(word string) error {
	if _, ok := parseSize(word); !ok || strings.Trim(word, "0123456789") == "" || l.node != l.app.DefaultCmd || l.has("size") {
		return nil
	}
	if _, err := os.Lstat(word); err == nil {
		return nil
	}
	err := misuse("%s: no such file; a size needs --size", word)
	if others := keep(l.words, func(w string) bool { return w != word }); len(others) == 0 || !allMissing(others) {
		return err // --size makes an image, and keeps one
	}
	i, n := slices.Index(l.typed, word), 1
	if i > 0 && l.typed[i-1] == "-s" {
		i, n = i-1, 2
	}
	return hint.With(err, l.instead(i, n, "--size", word))
}

// instead returns the command line with other words in the place of n words at i.
func (l *commandLine) instead(i, n int, words ...string) hint.Command {
	return hint.Command{Words: slices.Concat([]string{"lunserve"}, l.typed[:i], words, l.typed[i+n:])}
}

// check checks the spelling of a value. The hints of the error are better ones.
func check(v *kong.Value, word string) error {
	t := v.Target.Type()
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(word))
	}
	if v.Enum == "" || slices.Contains(v.EnumSlice(), word) {
		return nil
	}
	err := fmt.Errorf("%q is not one of %s", word, strings.Join(v.EnumSlice(), ", "))
	for _, near := range hint.Near(word, v.EnumSlice()) {
		err = hint.Try(err, near)
	}
	return err
}
