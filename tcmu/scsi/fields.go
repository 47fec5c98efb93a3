package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The fields of commands, with their names in SPC-5 and SBC-4.
var (
	allocationLength    = length("allocation")
	parameterListLength = length("length")
	logicalBlockAddress = number("lba")
	numberOfBlocks      = number("blocks")
	groupNumber         = option("group", 0)
	ause                = flag("ause")
	dbd                 = flag("dbd")
	dpo                 = flag("dpo")
	immed               = flag("immed")
	pf                  = flag("pf")
	plist               = flag("plist")
	glist               = flag("glist")

	defectFormat = option("format", 3)

	transfer  = fields{dpo, flag("fua"), logicalBlockAddress, numberOfBlocks}
	verified  = fields{dpo, option("bytchk", 0), logicalBlockAddress, numberOfBlocks}
	reserving = fields{option("scope", 4), option("type", 4), parameterListLength}
	starting  = fields{immed, option("modifier", 0), option("power", 4), flag("no_flush"), choice("stop", "start", "eject", "load")}

	// blockRange describes the LBA and the number of blocks of a command for
	// which zero does not mean none; restOfRange stands for the other field.
	restOfRange = field{describe: func(*Disk, request, uint64) (number, word string) { return "", "" }}
	blockRange  = field{describe: func(_ *Disk, r request, _ uint64) (number, word string) {
		switch lba, n := r.blocks(); {
		case n > 0:
			return fmt.Sprintf("lba %d blocks %d", lba, n), ""
		case lba > 0:
			return fmt.Sprintf("lba %d to the end", lba), ""
		}
		return "all", ""
	}}

	// vpdCode is EVPD and the page code.
	vpdCode = field{describe: func(d *Disk, _ request, v uint64) (number, word string) {
		code, evpd := byte(v), v&0x100 != 0
		switch {
		case evpd:
			for _, p := range d.vpdPages() {
				if p.code == code {
					word = inParentheses(p.name)
				}
			}
			return fmt.Sprintf("page %02xh", code), word
		case code != 0:
			return fmt.Sprintf("page %02xh", code), "without evpd"
		}
		return "", "standard"
	}}

	// The page control, and the page and subpage code.
	modeControl = choice("current", "changeable", "default", "saved")
	modeCode    = field{describe: func(d *Disk, _ request, v uint64) (number, word string) {
		code := byte(v >> 8)
		return fmt.Sprintf("page %02xh/%02xh", code, byte(v)), inParentheses(d.modeName(code))
	}}
	logControl = choice("threshold", "cumulative", "default threshold", "default cumulative")
	logCode    = field{describe: func(d *Disk, _ request, v uint64) (number, word string) {
		code := byte(v >> 8)
		for _, p := range d.logPages() {
			if p.code == code {
				word = inParentheses(p.name)
			}
		}
		return fmt.Sprintf("page %02xh/%02xh", code, byte(v)), word
	}}

	// modeList is the length of a parameter list of mode pages.
	modeList = field{length: true, describe: func(d *Disk, r request, v uint64) (number, word string) {
		list := r.peek(int(v))
		header, descriptor := 4, 0
		if len(r.cdb) == 10 {
			header = 8
		}
		if len(list) >= header {
			descriptor = int(list[3])
			if header == 8 {
				descriptor = int(binary.BigEndian.Uint16(list[6:]))
			}
		}
		var pages, names []string
		for at := header + descriptor; at+2 <= len(list); at += 2 + int(list[at+1]) {
			pages = append(pages, fmt.Sprintf("page %02xh/00h", list[at]&0x3f))
			names = append(names, d.modeName(list[at]&0x3f))
		}
		return strings.Join(append(pages, fmt.Sprint("length ", v)), " "), inParentheses(names...)
	}}

	// extentList is the length of the parameter list of UNMAP.
	extentList = field{length: true, describe: func(_ *Disk, r request, v uint64) (number, word string) {
		const header, descriptor, most = 8, 16, 4
		list := r.peek(int(v))
		if len(list) < header {
			return fmt.Sprint("length ", v), ""
		}
		list = list[header:][:min(len(list)-header, int(binary.BigEndian.Uint16(list[2:])))]
		var extents []string
		for ; len(list) >= descriptor && len(extents) < most; list = list[descriptor:] {
			extents = append(extents, fmt.Sprintf("%d+%d", binary.BigEndian.Uint64(list), binary.BigEndian.Uint32(list[8:])))
		}
		number = "lba " + strings.Join(extents, ", ")
		switch more := len(list) / descriptor; {
		case extents == nil:
			return "nothing", ""
		case more > 0:
			number += fmt.Sprintf(" and %d more", more)
		}
		return number, ""
	}}

	// overwriteList is the length of the parameter list of SANITIZE, OVERWRITE.
	overwriteList = field{length: true, describe: func(_ *Disk, r request, v uint64) (number, word string) {
		list := r.peek(int(v))
		if len(list) < 4 {
			return fmt.Sprint("length ", v), ""
		}
		if list[0]&0x80 != 0 {
			word = "invert"
		}
		return fmt.Sprintf("passes %d pattern length %d", list[0]&0x1f, binary.BigEndian.Uint16(list[2:])), word
	}}

	// opcodeQuery is the reporting options, operation code and service action of
	// REPORT SUPPORTED OPERATION CODES.
	opcodeQuery = field{describe: func(d *Disk, _ request, v uint64) (number, word string) {
		options, op, sa := v>>24, byte(v>>16), int(uint16(v))
		switch {
		case options == 0:
			return "all", ""
		case options > 3:
			return fmt.Sprint("options ", options), ""
		}
		number = fmt.Sprintf("opcode %02xh", op)
		if options > 1 || sa != 0 {
			number += fmt.Sprintf("/%02xh", sa)
		}
		for _, row := range d.listedFor(op) {
			if row.sa == none || row.sa == sa && options > 1 {
				word = inParentheses(row.name)
			}
		}
		return number, word
	}}
)

// modeName returns the name of a mode page, or "" if the disk does not have it.
func (d *Disk) modeName(code byte) string {
	if code == 0x3f {
		return "all pages"
	}
	for _, p := range d.modePages() {
		if p.current[0] == code {
			return p.name
		}
	}
	return ""
}

// inParentheses lists the names that are not empty.
func inParentheses(names ...string) string {
	text := ""
	for _, name := range names {
		switch {
		case name == "":
		case text == "":
			text = name
		default:
			text += ", " + name
		}
	}
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}
