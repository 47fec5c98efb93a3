package cli

import (
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
	if err := l.checkExclusive(); err != nil {
		return err
	}
	return l.checkWords()
}

// checkExclusive refuses a flag whose tag "not" names another one that was given. kong's
// xor takes a default for a flag.
func (l *commandLine) checkExclusive() error {
	for _, f := range l.flags {
		if other := f.Tag.Get("not"); other != "" && l.has(other) {
			return misuse("--%s and --%s exclude each other; leave out one of them", other, f.Name)
		}
	}
	return nil
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
	case l.node != l.app.DefaultCmd || len(l.words) == 0 && !l.has("scratch"):
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

// short takes a word of letters, such as -rs or -fo OUT. As to zstd, digits are a
// level of compression, as in -19 or -19f.
func (l *commandLine) short(word string) error {
	start := l.at
	for rest := word[1:]; rest != ""; {
		letter, n := utf8.DecodeRuneInString(rest)
		f := l.flag(func(f *kong.Flag) bool { return f.Short == letter })
		if digits := len(rest) - len(strings.TrimLeft(rest, "0123456789")); f == nil && digits > 0 {
			if f = l.flag(func(f *kong.Flag) bool { return f.Name == "level" }); f != nil {
				l.at++
				if err := l.give(f, rest[:digits], start); err != nil {
					return err
				}
				l.at, rest = start, rest[digits:]
				continue
			}
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

// instead returns the command line with other words in the place of n words at i.
func (l *commandLine) instead(i, n int, words ...string) hint.Command {
	return hint.Command{Words: slices.Concat([]string{"lunserve"}, l.typed[:i], words, l.typed[i+n:])}
}
