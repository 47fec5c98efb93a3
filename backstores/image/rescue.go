package image

import (
	"cmp"
	"strings"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/hint"
)

// keep is the purpose of rescue for an overlay that lunserve cannot read any more.
const keep = "to keep what it holds"

// option returns a path for an option string, in which a comma is written twice.
func option(path string) string { return strings.ReplaceAll(plain(path), ",", ",,") }

// rescue is the command that has QEMU copy what an overlay and its base hold
// together to a new raw image. It names the base: without that QEMU would open,
// as root, the path in the overlay's header, and that may come from somebody else.
// base is its path if the user has typed that, else empty.
//
// QEMU cannot read a base of another format, so lunserve serves it meanwhile.
func rescue(path, base string, store backstores.Backstore, purpose string) hint.Command {
	word := cmp.Or(base, "BASE")
	over := "driver=qcow2,file.filename=" + option(path) + ",backing.driver=raw,backing.file.filename="
	convert := []string{"qemu-img", "convert", "-O", "raw", "--image-opts"}
	out := plain(hint.Free(rawName(path)))
	if store == nil || qemuFormat(store) == Raw {
		return hint.Command{Words: append(convert, over+option(word), out), Purpose: purpose}
	}
	line := hint.Quote(append(convert, over)...) + "$dev " + hint.Quote(out)
	words := append([]string{"lunserve", "-r"}, flagsOf(store)...)
	return hint.Command{Words: append(words, "--run", line, Typed(word)), Purpose: purpose}
}
