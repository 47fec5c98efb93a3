package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A foreign flag is one of another tool.
type foreign struct {
	say   string   // what lunserve does instead
	words []string // in place of the flag; a subcommand comes first on the line
	value fate
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
	always   = foreign{say: "partitions always get nodes"}
	prints   = foreign{say: "the kernel chooses a node, and lunserve prints it"}
	chosen   = foreign{say: prints.say, value: dropped}
	stays    = foreign{say: "the disk stays until lunserve is stopped"}
	locks    = foreign{say: "an image is always locked"}
	flushes  = foreign{say: "the disk has a volatile write cache, which the kernel flushes"}
	lists    = foreign{say: "lunserve list does that", words: []string{"list"}}
	detaches = foreign{say: "lunserve detach does that", words: []string{"detach"}}
	traces   = foreign{say: "--trace prints each SCSI command", words: []string{"--trace"}}
	whole    = foreign{say: "an image is served from its start to its end, and partitions get nodes", value: dropped}
	sectors  = foreign{say: "that is --sector-size", words: []string{"--sector-size"}, value: kept}
	output   = foreign{say: "the output is the last argument", value: last}
	keeps    = foreign{say: "the image is always kept"}
)

// foreigners are flags of losetup, qemu-nbd, nbdkit and zstd, by our
// subcommand. If these tools differ, the meaning is losetup's.
var foreigners = map[string]map[string]foreign{
	"serve": {
		"-P": always, "--partscan": always,
		"-f": prints, "--find": prints, "--show": prints, "-c": chosen, "--connect": chosen,
		"-t": stays, "--persistent": stays, "--foreground": stays,
		"-l": lists, "--list": lists, "-a": lists, "--all": lists, "-j": lists, "--associated": lists,
		"-J": {say: "lunserve list --json does that", words: []string{"list", "--json"}},
		"-d": detaches, "--detach": detaches, "--disconnect": detaches,
		"-v": traces, "--verbose": traces,
		"-o": whole, "--offset": whole, "--sizelimit": whole, "--partition": whole,
		"-n": flushes, "--nocache": flushes,
		"-L": locks, "--nooverlap": locks,
		"-b": sectors, "--logical-sector-size": sectors,
		"-V":        {say: "that is --version", words: []string{"--version"}},
		"--pidfile": {say: "that is --pid-file", words: []string{"--pid-file"}, value: kept},
	},
	"pack": {
		"-o": output, "-k": keeps, "--keep": keeps,
		"-T": {say: "all CPUs are used", value: dropped},
		"-d": {say: "lunserve unpack does that", words: []string{"unpack"}},
	},
	"unpack": {"-o": output, "-k": keeps, "-d": {say: "unpack decompresses"}},
}

// A foreignError is the error of a foreign flag, and the line without it.
type foreignError struct {
	error
	try hint.Command
}

func (e foreignError) Unwrap() error { return e.error }

// unknown returns the error of a flag that the subcommand does not have: a long
// one, or a letter in the word.
func (l *commandLine) unknown(flag string) error {
	if f, ok := foreigners[l.node.Name][flag]; ok {
		err := foreignError{misuse("%s: not a flag of lunserve: %s", flag, f.say), l.domestic(f, flag)}
		// There may be more of them.
		next := commandLine{typed: err.try.Words[1:], app: l.app}
		if more, ok := errors.AsType[foreignError](next.read()); ok {
			err.try = more.try
		}
		return hint.With(err, err.try)
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
	switch {
	case strings.HasPrefix(flag, "--"):
		_, value, has = strings.Cut(word, "=")
	case f.value == none: // a letter among others
		if word = strings.Replace(word, flag[1:], "", 1); word != "-" {
			words = append(words, word)
		}
	default: // -c/dev/nbd0
		_, value, _ = strings.Cut(word, flag[1:])
		has = value != ""
	}
	if f.value != none && !has && end < len(l.typed) {
		value, has, end = l.typed[end], true, end+1
	}
	before, after := l.typed[:l.at:l.at], l.typed[end:]
	switch {
	case has && f.value == kept:
		words = append(words, value)
	case has && f.value == last:
		// With the words in another order, -f could replace another file.
		notForce := func(word string) bool { return word != "-f" && word != "--force" }
		before, after = keep(before, notForce), append(keep(after, notForce), value)
	case flag == "-f" && len(after) > 0 && slices.Contains(formats, after[0]):
		after = after[1:] // qemu-nbd's; lunserve detects the format
	}
	line := slices.Concat([]string{"lunserve"}, before, words, after)
	if len(words) > 0 && words[0][0] != '-' { // another subcommand
		if i := slices.Index(before, l.node.Name); l.named && i >= 0 {
			before = slices.Delete(slices.Clone(before), i, i+1)
		}
		line = slices.Concat([]string{"lunserve"}, words, before, after)
	}
	if len(line) == 1 {
		line = append(line, "--help")
	}
	return hint.Command{Words: line}
}

// formats are names of formats to QEMU.
var formats = []string{"raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc", "luks"}
