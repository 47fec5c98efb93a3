// Package completions generates scripts with which bash, zsh and fish complete
// lunserve's command lines, from the grammar alone.
//
// Subcommands, flags and enums are in kong's model. Our own tag, complete, adds
// what the model lacks: the kind of a flag's value or an argument ("image",
// "file", "dir", "export" or "rule"), and "command" on a subcommand where another
// command line may follow --.
//
// A script runs no program but lunserve list --names, for the names of served
// disks. Only cli imports the package, which never reads or writes a file.
package completions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// endings are the file name extensions of likely images.
const endings = "img|raw|qcow2|vmdk|zst|simg|iso"

// A command is a subcommand of lunserve.
type command struct {
	name, help string
	flags      []flag
	words      []word
	runs       bool // a command line may follow --
	unnamed    bool // the default subcommand
}

// A flag is a flag of a command, with all its names.
type flag struct {
	names   []string // "-r", "--read-only"
	help    string
	takes   bool // takes a value, which is word
	may     bool // may take a value after =
	repeats bool
	alone   bool // the rest of the line has no effect, as with --help
	word    word
}

// A word describes an argument or the value of a flag.
type word struct {
	name    string
	kind    string // from the tag; empty if there is none
	choices []string
	many    bool // stands for all arguments that follow
}

// Script returns the script for a shell: "bash", "zsh" or "fish".
func Script(shell string, app *kong.Application) (string, error) {
	write, ok := map[string]func([]command) string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
	if !ok {
		return "", fmt.Errorf("%s: unsupported shell", shell)
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

// rules returns the rules of faults that shells propose, each quoted.
func rules() string {
	var all []string
	for _, text := range fault.Examples {
		all = append(all, quote(text))
	}
	return strings.Join(all, " ")
}

func newWord(v *kong.Value) word {
	w := word{name: v.Name, kind: v.Tag.Get("complete"), many: v.IsCumulative()}
	if v.Enum != "" {
		w.choices = v.EnumSlice()
	}
	return w
}

// brief returns the first sentence or clause, without the full stop.
func brief(help string) string {
	for _, end := range []string{". ", ": ", "; "} {
		help, _, _ = strings.Cut(help, end)
	}
	return strings.TrimSuffix(help, ".")
}

// names returns the names of all commands.
func names(list []command) (all []string) {
	for _, c := range list {
		all = append(all, c.name)
	}
	return all
}

// unnamed returns the name of the default command.
func unnamed(list []command) string {
	return list[slices.IndexFunc(list, func(c command) bool { return c.unnamed })].name
}

// quote returns s quoted for any of the shells.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
