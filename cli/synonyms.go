package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// synonyms are other tools' words for our subcommands.
var synonyms = map[string]string{
	"ls": "list", "ps": "list", "status": "list", "show": "list",
	"stop": "detach", "rm": "detach", "del": "detach", "delete": "detach", "remove": "detach", "down": "detach", "kill": "detach",
	"umount": "detach", "unmount": "detach", "unmap": "detach", "eject": "detach", "disconnect": "detach", "clean": "detach",
	"attach": "serve", "run": "serve", "mount": "serve", "start": "serve", "map": "serve", "connect": "serve", "add": "serve",
	"up": "serve", "export": "serve", "create": "serve", "new": "serve",
	"losetup": "serve", "qemu-nbd": "serve", "nbdkit": "serve", "targetcli": "serve",
	"compress": "pack", "decompress": "unpack", "extract": "unpack", "convert": "unpack",
	"inspect": "info", "merge": "commit", "top": "stats", "grow": "resize", "check": "doctor",
	"help": "--help", "version": "--version",
}

// notSubcommand returns an error if word, the first argument, is likely to mean
// a subcommand. An image may have any name, so the file must not exist.
func (l *commandLine) notSubcommand(word string) error {
	if l.has("size") {
		return nil // it is to be made
	}
	rest := l.typed[l.at+1:]
	name, ok := synonyms[word]
	if !ok {
		near := hint.Near(word, append(subcommands(), "--help", "--version"))
		if len(near) == 0 {
			return nil
		}
		name = near[0]
	}
	// Checked only now, because the storage of an image may not answer.
	if _, err := os.Lstat(word); err == nil {
		return nil
	}
	_, synonym := synonyms[word]
	if synonym && name != "serve" && word != "convert" { // there -f is qemu-img's or losetup's
		rest = keep(rest, notForce)
	}
	words := []string{name}
	switch {
	case word == "targetcli" || name == "serve" && len(rest) == 0:
		words, rest = []string{"--help"}, nil
	case word == "create" || word == "new":
		words, rest = created(rest)
	case name == "serve":
		plugin := word == "nbdkit"
		words = nil // the default
		if i := slices.IndexFunc(rest, isFolder); word == "mount" && i >= 0 && filepath.Clean(rest[i]) != "/" {
			words = []string{"--mount", rest[i]}
		}
		// A folder is mount(8)'s, and file is a plugin of nbdkit(1).
		rest = keep(rest, func(word string) bool { return !isFolder(word) && !(plugin && word == "file") })
	case word == "convert":
		rest = keep(without(rest, "-f", "-O"), func(word string) bool { return word != "-p" })
		if len(rest) > 0 && strings.HasSuffix(rest[len(rest)-1], ".zst") {
			words = []string{"pack"}
		}
	case name == "--help" && len(rest) > 0 && slices.Contains(subcommands(), rest[0]):
		words, rest = []string{rest[0], "--help"}, nil
	case name == "--help":
		rest = nil
	}
	try := l.instead(l.at, len(l.typed)-l.at, append(words, rest...)...)
	return hint.With(misuse("%s: no such file or subcommand", word), l.proven(try, !synonym))
}

// created returns the words that make an image, for the words behind create,
// perhaps those of qemu-img(1): -f FORMAT NAME SIZE.
func created(rest []string) (words, others []string) {
	others = without(rest, "-f")
	if slices.ContainsFunc(others, isSizeFlag) {
		return nil, others
	}
	size := "10G"
	isSize := func(word string) bool {
		_, ok := parseSize(word)
		return ok && strings.Trim(word, "0123456789") != "" && allMissing([]string{word})
	}
	if i := slices.IndexFunc(others, isSize); i >= 0 {
		size = others[i]
		others = slices.Delete(slices.Clone(others), i, i+1)
		if i > 0 && others[i-1] == "-s" {
			others = slices.Delete(others, i-1, i)
		}
	}
	if allMissing(others) {
		return []string{"--size", size}, others
	}
	return nil, others // an image that exists is kept
}

// proven returns try if nothing is wrong with it, else what its error proposes,
// or the help of its subcommand. Unless force is set, the line does not force
// anything: to rm(1), losetup(8) and qemu-img(1), -f means less than to us or
// something else.
func (l *commandLine) proven(try hint.Command, force bool) hint.Command {
	next := commandLine{typed: try.Words[1:], app: l.app}
	err := next.read()
	if err == nil && (force || !next.has("force")) {
		return try
	}
	var more []hint.Command
	if err != nil {
		_, more = hint.Split(err)
	}
	switch {
	case next.node.Name == "list":
		return hint.Command{Words: []string{"lunserve", "list"}}
	case len(more) > 0 && more[0].Words[0] == "lunserve":
		return more[0]
	case next.named:
		return hint.Command{Words: []string{"lunserve", next.node.Name, "--help"}}
	}
	return hint.Command{Words: []string{"lunserve", "--help"}}
}

// notForce reports whether a word is not the flag --force.
func notForce(word string) bool {
	return word != "-f" && word != "--force" && !strings.HasPrefix(word, "--force=")
}

// without returns the words without these flags of qemu-img(1). A format
// behind one goes too.
func without(words []string, flags ...string) (others []string) {
	for i := 0; i < len(words); i++ {
		switch {
		case !slices.Contains(flags, words[i]):
			others = append(others, words[i])
		case i+1 < len(words) && slices.Contains(formats, words[i+1]):
			i++
		}
	}
	return others
}

// keep returns the words for which f is true.
func keep(words []string, f func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !f(word) })
}

func isSizeFlag(word string) bool { return word == "--size" || strings.HasPrefix(word, "--size=") }

func isFolder(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// allMissing reports whether no file has one of these names.
func allMissing(words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { _, err := os.Lstat(word); return err == nil })
}
