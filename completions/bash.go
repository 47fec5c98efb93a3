package completions

import (
	"fmt"
	"slices"
	"strings"
)

// bash is the script for bash with bash-completion, from which it takes no more
// than was in 2.11.
func bash(list []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, bashHead, endings, unnamed(list), strings.Join(names(list), " | "))
	for _, c := range list {
		var flags, takers []string
		for _, f := range c.flags {
			flags = append(flags, f.names...)
			if f.takes {
				takers = append(takers, f.names...)
			}
		}
		fmt.Fprintf(&b, "\t%s)\n\t\tflags='%s'\n\t\ttakers=' %s '\n", c.name, strings.Join(flags, " "), strings.Join(takers, " "))
		if c.runs {
			fmt.Fprint(&b, "\t\truns=1\n")
		}
		fmt.Fprint(&b, "\t\t;;\n")
	}
	fmt.Fprint(&b, bashWords)
	bashCase(&b, "\t\t", "$command$prev", list, func(c command, add func(pattern, action string)) {
		for _, f := range c.flags {
			for _, name := range f.names {
				add(c.name+name, f.word.bash())
			}
		}
	})
	fmt.Fprint(&b, bashFlags)
	bashCase(&b, "\t", "$command$n", list, func(c command, add func(pattern, action string)) {
		for n, w := range c.words {
			number := fmt.Sprint(n)
			if w.many {
				number = "*"
			}
			add(c.name+number, w.bash())
		}
	})
	fmt.Fprintf(&b, bashTail, strings.Join(names(list), " "))
	return b.String()
}

// bashCase writes a case with a branch for each action, and all the patterns
// that lead to it.
func bashCase(b *strings.Builder, indent, word string, list []command, each func(command, func(pattern, action string))) {
	patterns := map[string][]string{}
	var actions []string
	for _, c := range list {
		each(c, func(pattern, action string) {
			if action == "" {
				return
			}
			if patterns[action] == nil {
				actions = append(actions, action)
			}
			patterns[action] = append(patterns[action], pattern)
		})
	}
	slices.Sort(actions)
	fmt.Fprintf(b, "%scase %s in\n", indent, word)
	for _, action := range actions {
		fmt.Fprintf(b, "%s%s) %s ;;\n", indent, strings.Join(patterns[action], " | "), action)
	}
	fmt.Fprintf(b, "%sesac\n", indent)
}

// bash is the command that completes w, if any does.
func (w word) bash() string {
	switch {
	case w.choices != nil:
		return "_lunserve_words '" + strings.Join(w.choices, " ") + "'"
	case w.kind == "image":
		return "_lunserve_images"
	case w.kind == "file":
		return "_filedir"
	case w.kind == "dir":
		return "_filedir -d"
	case w.kind == "export":
		return `_lunserve_words "$("$1" list --names 2>/dev/null)"`
	}
	return ""
}

const bashHead = `# bash completion for lunserve, made from its grammar by lunserve completion bash.

# _lunserve_images completes files that are likely to be images, block devices
# and folders; where there is none of the first two, any file.
_lunserve_images()
{
	local word found='' likely=()
	_filedir
	for word in "${COMPREPLY[@]}"; do
		if [[ ${word,,} == *.@(%s) || -b $word ]]; then
			likely+=("$word") found=1
		elif [[ -d $word ]]; then
			likely+=("$word")
		fi
	done
	[[ ! $found ]] || COMPREPLY=("${likely[@]}")
}

# _lunserve_words adds those of the words in $1 that fit.
_lunserve_words()
{
	local fit
	mapfile -t fit < <(compgen -W "$1" -- "$cur")
	COMPREPLY+=("${fit[@]}")
}

_lunserve()
{
	local cur prev words cword split
	_init_completion -s || return

	local command=%s first=1
	if ((cword > 1)); then
		case ${words[1]} in
		%s) command=${words[1]} first=2 ;;
		esac
	fi

	# The command's flags, those among them that take a word, and whether
	# a command line may follow --.
	local flags takers runs=''
	case $command in
`

const bashWords = `	esac

	# n is the number of arguments before the word.
	local i n=0 dashes=''
	for ((i = first; i < cword; i++)); do
		if [[ $dashes || ${words[i]} != -?* ]]; then
			((n += 1))
		elif [[ ${words[i]} == -- && $runs ]]; then
			_command_offset $((i + 1))
			return
		elif [[ ${words[i]} == -- ]]; then
			dashes=1
		elif [[ $takers == *" ${words[i]} "* ]]; then
			((i += 1))
		fi
	done

	# The word of a flag: of the one before, or of itself after a =.
	if ((i > cword)) || [[ $split == true ]]; then
`

const bashFlags = `		return
	fi
	if [[ ! $dashes && $cur == -* ]]; then
		_lunserve_words "$flags"
		return
	fi
`

const bashTail = `	if ((cword == 1)); then
		_lunserve_words '%s'
	fi
} && complete -F _lunserve lunserve
`
