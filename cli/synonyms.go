package cli

import (
	"os"
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
		var all []string
		for _, node := range l.app.Leaves(true) {
			all = append(all, node.Name)
		}
		near := hint.Near(word, append(all, "--help", "--version"))
		if len(near) == 0 {
			return nil
		}
		name = near[0]
	}
	// Checked only now, because the storage of an image may not answer.
	if _, err := os.Lstat(word); err == nil {
		return nil
	}
	words := []string{name}
	switch {
	case name == "serve" && len(rest) == 0:
		words = []string{"--help"}
	case name == "serve":
		words = nil                                                          // the default
		rest = keep(rest, func(word string) bool { return !isFolder(word) }) // as of mount(8)
		if (word == "create" || word == "new") && !slices.ContainsFunc(rest, isSizeFlag) && allMissing(rest) {
			words = []string{"--size", "10G"}
		}
	case name == "detach":
		// To rm(1) -f means less than to us: disks in use would be removed.
		rest = keep(rest, func(word string) bool { return word != "-f" && word != "--force" })
	case word == "convert" && len(rest) > 0 && strings.HasSuffix(rest[len(rest)-1], ".zst"):
		words = []string{"pack"}
	case name == "--help" && len(rest) > 0:
		words, rest = []string{rest[0], "--help"}, nil
	}
	return hint.With(misuse("%s: no such file or subcommand", word), l.instead(l.at, len(l.typed)-l.at, append(words, rest...)...))
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
