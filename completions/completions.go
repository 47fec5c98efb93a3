// Package completions writes what shells read to complete lunserve's command
// lines: a script each for bash, zsh and fish, from the grammar alone.
//
// Subcommands, flags and the values of enums are in the model. What it cannot
// know is said by a tag of ours, complete: it names what a flag or an argument
// is ("image", "file", "dir", "export"), and on a command with "command" that
// another command line may follow a --.
//
// A script starts nothing but the shell, with one exception: the names of
// exports are those that lunserve list --names prints.
package completions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// endings are those of file names that are likely to be images.
const endings = "img|raw|zst|simg|iso"

// A command is one of lunserve's.
type command struct {
	name, help string
	flags      []flag
	words      []word
	runs       bool // a command line may follow --
	unnamed    bool // it is meant where no command is named
}

// A flag is one of a command's, under all its names.
type flag struct {
	names   []string // "-r", "--read-only"
	help    string
	takes   bool // a value, which is word
	may     bool // take one, after a =
	repeats bool
	alone   bool // it makes the rest of the line say nothing, as --help does
	word    word
}

// A word is what an argument or the value of a flag is to be.
type word struct {
	name    string
	kind    string // of the tag; empty if nothing is known
	choices []string
	many    bool // it stands for all arguments that follow
}

// Script is the script for a shell ("bash", "zsh", "fish").
func Script(shell string, app *kong.Application) (string, error) {
	write, ok := map[string]func([]command) string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
	if !ok {
		return "", fmt.Errorf("%s: no such shell", shell)
	}
	return write(commands(app)), nil
}

func commands(app *kong.Application) (list []command) {
	for _, node := range app.Leaves(true) {
		c := command{
			name:    node.Name,
			help:    brief(node.Help),
			runs:    node.Tag.Get("complete") == "command",
			unnamed: node == app.DefaultCmd,
		}
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				c.flags = append(c.flags, newFlag(app, f))
			}
		}
		for _, p := range node.Positional {
			c.words = append(c.words, newWord(p))
		}
		list = append(list, c)
	}
	return list
}

func newFlag(app *kong.Application, f *kong.Flag) flag {
	var names []string
	if f.Short != 0 {
		names = append(names, "-"+string(f.Short))
	}
	names = append(names, "--"+f.Name)
	if f.Tag.Negatable != "" {
		names = append(names, "--no-"+f.Name)
	}
	_, version := f.Target.Interface().(kong.VersionFlag)
	takes := !f.IsBool() && !f.IsCounter()
	return flag{
		names:   names,
		help:    brief(f.Help),
		takes:   takes,
		may:     !takes && f.Tag.Has("complete"),
		repeats: f.IsCumulative() || f.IsCounter(),
		alone:   f == app.HelpFlag || version,
		word:    newWord(f.Value),
	}
}

func newWord(v *kong.Value) word {
	w := word{name: v.Name, kind: v.Tag.Get("complete"), many: v.IsCumulative()}
	if v.Enum != "" {
		w.choices = v.EnumSlice()
	}
	return w
}

// brief is the first sentence or clause, without the full stop.
func brief(help string) string {
	for _, end := range []string{". ", ": ", "; "} {
		help, _, _ = strings.Cut(help, end)
	}
	return strings.TrimSuffix(help, ".")
}

// names are those of all commands.
func names(list []command) (all []string) {
	for _, c := range list {
		all = append(all, c.name)
	}
	return all
}

// unnamed is the name of the command that needs none.
func unnamed(list []command) string {
	return list[slices.IndexFunc(list, func(c command) bool { return c.unnamed })].name
}

// quote is s as a word of any shell's.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
