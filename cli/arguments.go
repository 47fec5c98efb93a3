package cli

import (
	"cmp"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// checkWords checks the number and the spelling of the arguments.
func (l *commandLine) checkWords() error {
	all := l.node.Positional
	for i, arg := range all {
		if l.needed(arg) && len(l.words) <= i {
			return l.needs(arg)
		}
	}
	for i, word := range l.words {
		if i >= len(all) && (len(all) == 0 || !all[len(all)-1].IsSlice()) {
			return hint.Try(misuse("%s: one argument too many", image.Name(word)), "lunserve", l.node.Name, "--help")
		}
		arg := all[min(i, len(all)-1)]
		if err := check(arg, word); err != nil {
			better, err := withoutHints(err)
			_, isRule := errors.AsType[*fault.SyntaxError](err)
			if !isRule || len(better) == 0 {
				return hint.Try(misuse("%w", err), "lunserve", l.node.Name, "--help")
			}
			for j, c := range better {
				better[j] = l.instead(slices.Index(l.typed, word), 1, c.Words[0])
			}
			return hint.With(misuse("%w", err), better...)
		}
		if err := cmp.Or(l.sizeAsImage(word), l.nodeAsImage(i)); err != nil {
			return err
		}
		if word == "-" && arg.Name != "disk" {
			return l.standard(i)
		}
	}
	return nil
}

// needed reports whether an argument must be given: with the tag unless, if the flag
// that it names is not.
func (l *commandLine) needed(arg *kong.Value) bool {
	flag := arg.Tag.Get("unless")
	return arg.Required || flag != "" && !l.has(flag)
}

// needs returns the error of an argument that is missing.
func (l *commandLine) needs(arg *kong.Value) error {
	if l.named {
		return hint.Try(misuse("no %s given", arg.Name), "lunserve", l.node.Name, "--help")
	}
	return hint.Try(misuse("no %s given", arg.Name), "lunserve", "--help")
}

// notStandard is why - is no name. An image is read at random, and an output
// appears when it is complete. A pipe can do neither.
const notStandard = "lunserve reads and writes files, not standard input and output; ./- is a file"

// standard returns the error of the argument i, which is -.
func (l *commandLine) standard(i int) error {
	err := misuse("-: %s", notStandard)
	if i == 0 {
		return hint.With(err, hint.Command{Words: []string{"cat"}, Output: hint.Free("NEW.img"), Purpose: "to make a file of standard input"})
	}
	return err
}

// sizeAsImage returns an error if an image has the form of a size and does not
// exist, as in lunserve -s 10G disk.img, or in --size 10G new.img 10G.
func (l *commandLine) sizeAsImage(word string) error {
	if _, ok := parseSize(word); !ok || strings.Trim(word, "0123456789") == "" || l.node != l.app.DefaultCmd || l.has("size") && len(l.words) == 1 {
		return nil
	}
	if _, err := os.Lstat(word); err == nil {
		return nil
	}
	if l.has("size") {
		return misuse("%s: no such file, but a size; ./%s makes one", word, word)
	}
	err := misuse("%s: no such file; a size needs --size", word)
	if others := keep(l.words, func(w string) bool { return w != word }); len(others) == 0 || !allMissing(others) {
		return err // --size makes an image, and keeps one
	}
	i, n := slices.Index(l.typed, word), 1
	if i > 0 && l.typed[i-1] == "-s" {
		i, n = i-1, 2
	}
	return hint.With(err, l.instead(i, n, "--size", word))
}

// kernelNode is a node that losetup(8) or qemu-nbd(8) is told to use.
var kernelNode = regexp.MustCompile(`^/dev/(loop|nbd)[0-9]+$`)

// nodeAsImage returns an error if the image i is a node before other images, as
// in losetup /dev/loop1 disk.img.
func (l *commandLine) nodeAsImage(i int) error {
	if i > 0 || l.node != l.app.DefaultCmd || len(l.words) == 1 || !kernelNode.MatchString(l.words[0]) || kernelNode.MatchString(l.words[1]) {
		return nil
	}
	return hint.With(misuse("%s: %s", l.words[0], prints.say), l.instead(slices.Index(l.typed, l.words[0]), 1))
}
