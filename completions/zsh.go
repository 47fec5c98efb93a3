package completions

import (
	"fmt"
	"strings"
)

// zsh is the script for zsh: the file _lunserve of a folder in fpath.
func zsh(list []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, zshHead, strings.ReplaceAll(endings, "|", " "))
	fmt.Fprint(&b, "_lunserve_commands() {\n\tlocal -a all=(\n")
	for _, c := range list {
		fmt.Fprintf(&b, "\t\t%s\n", quote(c.name+":"+zshEscape(c.help)))
	}
	fmt.Fprint(&b, "\t)\n\t_describe -t commands command all\n}\n")
	fmt.Fprintf(&b, zshBody, strings.Join(names(list), "|"), unnamed(list))
	for _, c := range list {
		fmt.Fprintf(&b, "\t%s)\n", c.name)
		if c.runs {
			fmt.Fprint(&b, zshRuns)
		}
		fmt.Fprint(&b, "\t\t_arguments -s -S : \\\n")
		for _, f := range c.flags {
			for _, name := range f.names {
				fmt.Fprintf(&b, "\t\t\t%s \\\n", quote(f.zsh(name)))
			}
		}
		for n, w := range c.words {
			number, action := fmt.Sprint(n+1), w.zsh()
			if w.many {
				number = "*"
			}
			if n == 0 && c.unnamed {
				action = "_lunserve_first"
			}
			fmt.Fprintf(&b, "\t\t\t%s \\\n", quote(fmt.Sprintf("%s:%s:%s", number, zshEscape(w.name), action)))
		}
		fmt.Fprint(&b, "\t\t\t&& ret=0\n\t\t;;\n")
	}
	fmt.Fprint(&b, zshTail)
	return b.String()
}

// zsh is what _arguments wants to know of a flag by one of its names.
func (f flag) zsh(name string) string {
	spec := "(" + strings.Join(f.names, " ") + ")"
	switch {
	case f.alone:
		spec = "(- *)"
	case f.repeats:
		spec = "*"
	}
	spec += name
	switch {
	case f.may:
		spec += "=-"
	case f.takes && strings.HasPrefix(name, "--"):
		spec += "="
	case f.takes:
		spec += "+"
	}
	spec += "[" + zshEscape(f.help) + "]"
	switch {
	case f.may:
		spec += "::" + f.word.name + ":" + f.word.zsh()
	case f.takes:
		spec += ":" + f.word.name + ":" + f.word.zsh()
	}
	return spec
}

// zsh is the action that completes w; a blank does nothing.
func (w word) zsh() string {
	switch {
	case w.choices != nil:
		return "(" + strings.Join(w.choices, " ") + ")"
	case w.kind == "image":
		return "_lunserve_images"
	case w.kind == "file":
		return "_files"
	case w.kind == "dir":
		return "_files -/"
	case w.kind == "export":
		return "_lunserve_exports"
	}
	return " "
}

func zshEscape(s string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

const zshHead = `#compdef lunserve
# zsh completion for lunserve, made from its grammar by lunserve completion zsh.

# Files that are likely to be images, block devices and folders; where there is
# none of the first two, any file.
_lunserve_images() {
	local -a endings=(%s)
	_files -g "(#i)*.(${(j:|:)endings})(-.) *(-%%b)"
}

_lunserve_exports() {
	local -a all=(${(f)"$(_call_program exports ${(q)command} list --names 2>/dev/null)"})
	_wanted exports expl export compadd -a all
}

# The first word is a command, or an argument of the one that needs no name.
_lunserve_first() {
	if (( named || CURRENT > 2 )); then
		_lunserve_images
	else
		_alternative 'commands::_lunserve_commands' 'images::_lunserve_images'
	fi
}

`

const zshBody = `
_lunserve() {
	local command=$words[1] name=%[2]s
	local -i ret=1 named=0
	if (( CURRENT > 2 )) && [[ $words[2] == (%[1]s) ]]; then
		name=$words[2] named=1
		shift words
		(( CURRENT-- ))
	fi
	case $name in
`

const zshRuns = `		local -i dashes=${words[(i)--]}
		if (( dashes < CURRENT )); then
			shift $dashes words
			(( CURRENT -= dashes ))
			_normal
			return
		fi
`

const zshTail = `	esac
	return ret
}

_lunserve "$@"
`
