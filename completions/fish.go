package completions

import (
	"fmt"
	"strings"
)

// fish is the script for fish.
func fish(list []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, fishHead, endings, unnamed(list), strings.Join(names(list), " "))
	for _, c := range list {
		var takers []string
		for _, f := range c.flags {
			if f.takes {
				takers = append(takers, f.names...)
			}
		}
		fmt.Fprintf(&b, "\t\tcase %s\n\t\t\tset takers %s\n", c.name, strings.Join(takers, " "))
		if c.runs {
			fmt.Fprint(&b, "\t\t\tset runs yes\n")
		}
	}
	fmt.Fprint(&b, fishBody)
	for _, c := range list {
		line := func(format string, a ...any) {
			fmt.Fprintf(&b, "complete -c lunserve "+format+"\n", a...)
		}
		fmt.Fprintln(&b)
		line("-n __lunserve_first -a %s -d %s", c.name, quote(c.help))
		if c.runs {
			line("-n '__lunserve_at %s --' -k -a '(__lunserve_rest)'", c.name)
		}
		for n, w := range c.words {
			number := fmt.Sprint(n)
			if w.many {
				number = `"*"`
			}
			line("-n '__lunserve_at %s %s' %s", c.name, number, w.fish())
		}
		for _, f := range c.flags {
			line("-n '__lunserve_at %s'%s -d %s", c.name, f.fish(), quote(f.help))
		}
	}
	return b.String()
}

// fish are the options that tell complete of a flag.
func (f flag) fish() (options string) {
	for _, name := range f.names {
		if long, ok := strings.CutPrefix(name, "--"); ok {
			options += " -l " + long
		} else {
			options += " -s " + name[1:]
		}
	}
	switch {
	case f.takes:
		options += " -r " + f.word.fish()
	case f.may:
		options += " " + f.word.fish()
	}
	return options
}

// fish are the options that tell complete what to offer for w.
func (w word) fish() string {
	switch {
	case w.choices != nil:
		return "-f -k -a " + quote(strings.Join(w.choices, " "))
	case w.kind == "image":
		return "-f -k -a '(__lunserve_images)'"
	case w.kind == "file":
		return "-F"
	case w.kind == "dir":
		return "-f -a '(__fish_complete_directories)'"
	case w.kind == "export":
		return "-f -a '(__lunserve_exports)'"
	}
	return "-f"
}

const fishHead = `# fish completion for lunserve, made from its grammar by lunserve completion fish.

# Files that are likely to be images and block devices, then folders, then
# other files.
function __lunserve_images
	set -l files (complete -C "lunserve_no_command "(commandline -ct)) # as for any command
	string match -r -i -- '^[^\t]*\.(?:%[1]s)(?:\t.*)?$' $files
	for file in $files
		set -l path (string split -f 1 \t -- $file)
		test -b $path; and echo $file
	end
	string match -r -- '^[^\t]*/(?:\t.*)?$' $files
	printf '%%s\n' $files
end

function __lunserve_exports
	set -l words (commandline -opc)
	$words[1] list --names 2>/dev/null
end

# What follows -- is a command line of its own.
function __lunserve_rest
	set -l words (commandline -opc)
	set -l dashes (contains -i -- -- $words)
	set -e words[1..$dashes]
	complete -C (string join -- ' ' (string escape -- $words) (commandline -ct))
end

function __lunserve_first
	test (count (commandline -opc)) = 1
end

# __lunserve_at COMMAND: the line is one of COMMAND, and may have a flag here.
# __lunserve_at COMMAND N: and N arguments come before, counted from 0.
# __lunserve_at COMMAND --: and -- does.
function __lunserve_at -a command where
	set -l words (commandline -opc)
	set -e words[1]
	set -l name %[2]s
	if contains -- "$words[1]" %[3]s
		set name $words[1]
		set -e words[1]
	end
	test $name = $command; or return
	set -l takers
	set -l runs no
	switch $name
`

const fishBody = `	end
	set -l n 0
	set -l dashes no
	while set -q words[1]
		if test $dashes = yes; or not string match -q -- '-?*' $words[1]
			set n (math $n + 1)
		else if test $words[1] = --
			set dashes yes
			test $runs = yes; and break
		else if contains -- $words[1] $takers
			set -e words[1]
		end
		set -e words[1]
	end
	switch "$where"
		case --
			test $dashes = yes
		case ''
			test $dashes = no
		case '*'
			test $dashes = no -o $runs = no; or return
			string match -q -- $where $n
	end
end

complete -c lunserve -f
`
