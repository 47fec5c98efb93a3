package image

import (
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/hint"
)

// A signature is a format that a file has, as its first or its last sector says
// by bytes that are not there by accident.
//
// An image of a disk has none. A file that has one and were served as a raw
// image would appear as a disk of garbage, and the first write would destroy
// it. So it is served in the format that its signature names, or refused with
// the command that makes a disk of it.
type signature struct {
	name string // as in "is a qcow2 image"
	is   func(sectors) bool

	// format is the format of [Options] that reads it. Other files are refused
	// with the commands that try returns, if there are any.
	format string
	try    func(*candidate) []hint.Command

	of   func(*candidate) string // more of its name, or nil
	last bool                    // the signature is in the last sector
}

// anOverlay is a qcow2 image that lunserve made. The record that says so may lie
// behind the first sector, since QEMU puts its own header extensions before it.
var anOverlay = signature{name: "an overlay", of: baseOf, try: serveOverlay}

// signatures are in the order in which they are tried: the first that matches
// is what the file looks like. The commands for a header that names other files
// do not open these.
var signatures = []signature{
	// Images of virtual machines, which QEMU reads.
	{name: "a qcow2 image", is: func(s sectors) bool { return qcow2.Is(s.head) }, format: Qcow2},
	{name: "a qcow image with a backing file", is: isQcowWithBacking, try: describe("qcow")},
	{name: "a qcow image", is: isQcow, try: convert("qcow")},
	{name: "a QEMU image of an unknown version", is: begins("QFI\xfb")},
	{name: "a QED image with a backing file", is: isQEDWithBacking, try: describe("qed")},
	{name: "a QED image", is: begins("QED\x00"), try: convert("qed")},
	{name: "a stream-optimized VMDK image", is: isStreamVMDK, format: VMDK},
	{name: "a VMDK image", is: begins("KDMV"), try: convertVMDK},
	{name: "a VMDK image", is: begins("COWD"), try: convertVMDK},
	{name: "a VMDK descriptor, which names the files that hold the disk", is: begins("# Disk DescriptorFile"), try: show},
	{name: "a VHDX image", is: begins("vhdxfile"), try: convert("vhdx")},
	{name: "a VDI image that needs another", is: isDifferencingVDI},
	{name: "a VDI image", is: isVDI, try: convert("vdi")},
	{name: "a VHD image that needs another", is: func(s sectors) bool { return isVHD(s.head) && isDifferencingVHD(s.head) }},
	{name: "a VHD image", is: func(s sectors) bool { return isVHD(s.head) }, try: convert("vpc")},
	{name: "a VHD image", is: func(s sectors) bool { return isVHD(s.tail) }, try: convert("vpc"), last: true},
	{name: "a Parallels image", is: begins("WithoutFreeSpace"), try: convert("parallels")},
	{name: "a Parallels image", is: begins("WithouFreSpacExt"), try: convert("parallels")},
	{name: "a DMG image", is: isDMG, try: convert("dmg"), last: true},

	// Files that hold one file, compressed.
	{name: "a zstd file", is: isZstd, format: Zstd},
	{name: "an Android sparse image", is: func(s sectors) bool { return isSimg(s.head) }, format: Simg},
	{name: "a file of an old version of zstd", is: isOldZstd, try: decompress("zstd", "-dc")},
	{name: "a gzip file", is: isGzip, try: decompress("zcat")},
	{name: "an xz file", is: begins("\xfd7zXZ\x00"), try: decompress("xzcat")},
	{name: "a bzip2 file", is: isBzip2, try: decompress("bzcat")},
	{name: "an lz4 file", is: begins("\x04\x22\x4d\x18"), try: decompress("lz4cat")},
	{name: "an lz4 file", is: begins("\x02\x21\x4c\x18"), try: decompress("lz4cat")},
	{name: "an lzop file", is: begins("\x89LZO\x00\r\n\x1a\n"), try: decompress("lzop", "-dc")},
	{name: "an lzip file", is: begins("LZIP\x01"), try: decompress("lzip", "-dc")},
	{name: "an lrzip file", is: begins("LRZI\x00"), try: decompress("lrzcat")},
	{name: "an lzma file", is: isLzma, try: decompress("lzcat")},
	{name: "a compress file", is: begins("\x1f\x9d\x90"), try: decompress("zcat")},

	// Archives, which may hold a disk.
	{name: "a tar archive", is: isTar, try: untar},
	{name: "a zip archive", is: isZip, try: unzip},
	{name: "a 7z archive", is: begins("7z\xbc\xaf\x27\x1c"), try: extract(func(dir string) []string { return []string{"7z", "x", "-o" + dir} })},
	{name: "a RAR archive", is: begins("Rar!\x1a\x07"), try: extract(func(dir string) []string { return []string{"unar", "-o", plain(dir)} })},
	{name: "a cabinet", is: begins("MSCF\x00\x00\x00\x00")},
	{name: "a xar archive", is: begins("xar!")},
	{name: "a WIM archive", is: begins("MSWIM\x00\x00\x00")},
	{name: "a cpio archive", is: begins("070701")},
	{name: "a cpio archive", is: begins("070702")},
	{name: "a cpio archive", is: begins("070707")},
	{name: "an ar archive", is: begins("!<arch>\n")},
	{name: "an RPM package", is: begins("\xed\xab\xee\xdb")},

	// Files that are about an image, or came in place of one.
	{name: "a block map, which describes an image", is: isBlockMap, try: serveMapped},
	{name: "an XML file", is: begins("<?xml")},
	{name: "a web page", is: isHTML},
	{name: "a PGP signature or key", is: begins("-----BEGIN PGP")},
	{name: "a Git LFS pointer", is: begins("version https://git-lfs.github.com/spec/")},
}

// look returns the signature of a file, or nil if it looks like a disk.
func look(s sectors) *signature {
	for i := range signatures {
		if signatures[i].is(s) {
			return &signatures[i]
		}
	}
	return nil
}
