package cli

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A foreign flag is one of another tool.
type foreign struct {
	say   string   // what lunserve does instead
	words []string // in place of the flag; a subcommand comes first on the line
	value fate
	by    func(l *commandLine, value string) foreign // if set, says the above for a value, or word behind the flag
}

// A fate is what becomes of the value of a foreign flag.
type fate int

const (
	none    fate = iota // the flag takes no value
	dropped             // with the flag
	kept                // behind words
	last                // on the line
)

var (
	always      = foreign{say: "partitions always get nodes"}
	prints      = foreign{say: "the kernel chooses a node, and lunserve prints it"}
	chosen      = foreign{say: prints.say, value: dropped}
	stays       = foreign{say: "the disk stays until lunserve is stopped"}
	locks       = foreign{say: "an image is always locked"}
	flushes     = foreign{say: "the disk has a volatile write cache, which the kernel flushes"}
	lists       = foreign{say: "lunserve list does that", words: []string{"list"}}
	detaches    = foreign{say: "lunserve detach does that", words: []string{"detach"}}
	detachesAll = foreign{say: "lunserve detach --all does that", words: []string{"detach", "--all"}}
	traces      = foreign{say: "--trace prints each SCSI command", words: []string{"--trace"}}
	offsets     = foreign{say: "that is --offset", words: []string{"--offset"}, value: kept}
	sectors     = foreign{say: "that is --sector-size", words: []string{"--sector-size"}, value: kept}
	output      = foreign{say: "the output is the last argument", value: last}
	versions    = foreign{say: "that is --version", words: []string{"--version"}}
	pidFile     = foreign{say: "that is --pid-file", words: []string{"--pid-file"}, value: kept}
	keeps       = foreign{say: "the image is always kept"}
)

// foreigners are flags of losetup, qemu-nbd, nbdkit and zstd, by our
// subcommand. If these tools differ, the meaning is losetup's.
var foreigners = map[string]map[string]foreign{
	"serve": {
		"-P": {by: parts}, "--partscan": always,
		"-f": {by: found}, "--find": prints, "--show": prints, "-c": {by: node}, "--connect": {by: node},
		"-t": stays, "--persistent": stays, "--foreground": stays,
		"-l": lists, "--list": lists, "-a": lists, "--all": lists, "-j": lists, "--associated": lists,
		"-J": {say: "lunserve list --json does that", words: []string{"list", "--json"}},
		"-D": detachesAll, "--detach-all": detachesAll,
		"-d": detaches, "--detach": detaches, "--disconnect": detaches,
		"-v": {by: verbose}, "--verbose": traces,
		"-o": {by: option},
		"-n": flushes, "--nocache": flushes,
		"-L": locks, "--nooverlap": locks,
		"-b": {by: block}, "--logical-sector-size": sectors,
		"-V": versions, "--pidfile": pidFile,
	},
	"pack": {
		"-o": output, "-k": keeps, "--keep": keeps,
		"-T": {say: "all CPUs are used", value: dropped},
		"-d": {say: "lunserve unpack does that", words: []string{"unpack"}},
	},
	"unpack": {"-o": output, "-k": keeps, "-d": {say: "unpack decompresses"}},
}

// unknown returns the error of a flag that the subcommand does not have: a long
// one, or a letter in the word.
func (l *commandLine) unknown(flag string) error {
	if f, ok := foreigners[l.node.Name][flag]; ok {
		if f.by != nil {
			value, _, _ := l.foreignValue(flag)
			f = f.by(l, value)
		}
		return hint.With(misuse("%s: not a flag of lunserve: %s", flag, f.say), l.domestic(f, flag))
	}
	err := misuse("unknown flag %s", flag)
	var all []string
	for node := l.node; node != nil; node = node.Parent {
		for _, f := range node.Flags {
			all = append(all, f.Name)
		}
	}
	if name, long := strings.CutPrefix(flag, "--"); long {
		for _, near := range hint.Near(name, all) {
			return hint.With(err, l.instead(l.at, 1, "--"+near+l.typed[l.at][len(flag):]))
		}
	}
	if l.named {
		return hint.Try(err, "lunserve", l.node.Name, "--help")
	}
	return hint.Try(err, "lunserve", "--help")
}

// domestic returns the command line with our words for a foreign flag.
func (l *commandLine) domestic(f foreign, flag string) hint.Command {
	words, word, end := slices.Clone(f.words), l.typed[l.at], l.at+1
	value, has := "", false
	if f.value != none {
		value, has, end = l.foreignValue(flag)
	} else if !strings.HasPrefix(flag, "--") { // a letter among others
		if word = strings.Replace(word, flag[1:], "", 1); word != "-" {
			words = append(words, word)
		}
	}
	before, after := l.typed[:l.at:l.at], l.typed[end:]
	switch {
	case has && f.value == kept:
		words = append(words, value)
	case has && f.value == last:
		// With the words in another order, -f could replace another file.
		before, after = keep(before, notForce), append(keep(after, notForce), value)
	}
	line := slices.Concat([]string{"lunserve"}, before, words, after)
	force := true
	if len(words) > 0 && words[0][0] != '-' { // another subcommand
		if i := slices.Index(before, l.node.Name); l.named && i >= 0 {
			before = slices.Delete(slices.Clone(before), i, i+1)
		}
		line = slices.Concat([]string{"lunserve"}, words[:1], keep(slices.Concat(words[1:], before, after), notForce))
		force = false
	}
	if len(line) == 1 {
		line = append(line, "--help")
	}
	return l.proven(hint.Command{Words: line}, force)
}

// foreignValue returns the value of a flag, be it in the same word or the next,
// and the end of both.
func (l *commandLine) foreignValue(flag string) (value string, has bool, end int) {
	word, end := l.typed[l.at], l.at+1
	if strings.HasPrefix(flag, "--") {
		_, value, has = strings.Cut(word, "=")
	} else {
		_, value, _ = strings.Cut(word, flag[1:]) // -c/dev/nbd0
		has = value != ""
	}
	if !has && end < len(l.typed) {
		return l.typed[end], true, end + 1
	}
	return value, has, end
}

// option is -o, an offset to losetup(8) and a list of words to mount(8).
func option(_ *commandLine, value string) foreign {
	if _, ok := parseSize(value); ok || value == "0" {
		return offsets
	}
	if slices.Contains(strings.Split(value, ","), "ro") {
		return foreign{say: "that is -r", words: []string{"-r"}, value: dropped}
	}
	return foreign{say: "options of mount are for mount", value: dropped}
}

// found is -f, which finds a node to losetup(8) and has a format to qemu-nbd(8).
func found(_ *commandLine, value string) foreign {
	switch {
	case value == "raw":
		return foreign{say: "that is --format", words: []string{"--format"}, value: kept}
	case slices.Contains(formats, value):
		return foreign{say: "lunserve detects the format", value: dropped}
	}
	return prints
}

// node is -c, the value of which may be missing.
func node(_ *commandLine, value string) foreign {
	if strings.HasPrefix(value, "/dev/") {
		return chosen
	}
	return prints
}

// block is -b, the size of a block to losetup(8) and an address to qemu-nbd(8).
func block(_ *commandLine, value string) foreign {
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return sectors
	}
	if addr.Is6() {
		value = "[" + value + "]"
	}
	return foreign{say: "that is --portal", words: []string{"--iscsi", "--portal", value}, value: dropped}
}

// parts is -P, which has the name of a file to nbdkit(1).
func parts(l *commandLine, value string) foreign {
	if l.typed[l.at] == "-P" && !strings.HasPrefix(value, "-") && l.at+2 < len(l.typed) && allMissing([]string{value}) && !allMissing(l.typed[l.at+2:l.at+3]) {
		return pidFile
	}
	return always
}

// verbose is -v, which alone asks for the version.
func verbose(l *commandLine, _ string) foreign {
	if len(l.typed) == 1 {
		return versions
	}
	return traces
}

// formats are names of formats to QEMU.
var formats = []string{"raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc", "luks"}
