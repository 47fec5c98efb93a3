package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Describe is a command in words: its name, and what is asked, such as "lba
// 2048 blocks 8 fua". Numbers come first and always in the same places; after
// them flags, where they are set, and the names of pages. A command that this
// disk does not have is its bytes. cdb and data are as for Execute, before or
// after it.
func (d *Disk) Describe(cdb []byte, data [][]byte) (name, what string) {
	row, err := d.find(cdb)
	if err != nil {
		return foreign(cdb)
	}
	r := request{cdb: cdb[:len(row.usage)], data: data}
	var figures, words []string
	for _, p := range row.parts {
		figure, word := p.say(d, r, p.value(r.cdb))
		if figure != "" {
			figures = append(figures, figure)
		}
		if word != "" {
			words = append(words, word)
		}
	}
	return row.name, strings.Join(append(figures, words...), " ")
}

// foreign describes a command that a disk has not, by its name if others may
// have it.
func foreign(cdb []byte) (name, what string) {
	if len(cdb) == 0 {
		return "no command", ""
	}
	op := cdb[0]
	name = fmt.Sprintf("opcode %02xh", op)
	const variableLength = 0x7f // SPC-5, Variable type CDB formats
	if op == variableLength && len(cdb) >= 10 {
		name += fmt.Sprintf("/%04xh", binary.BigEndian.Uint16(cdb[8:]))
	}
	for i := range commands {
		switch c := &commands[i]; {
		case c.op != op:
		case c.matches(cdb):
			return c.name, fmt.Sprintf("% x", cdb[:min(len(cdb), cdbLength(op))])
		case len(cdb) > 1:
			name = fmt.Sprintf("opcode %02xh/%02xh", op, serviceAction(cdb))
		}
	}
	return name, fmt.Sprintf("% x", cdb[:min(len(cdb), cdbLength(op))])
}

// cdbLength is the length of a CDB by its group code (SPC-5, OPERATION CODE
// field), or what is worth showing where that does not tell.
func cdbLength(op byte) int { return [8]int{6, 10, 10, 16, 16, 12, 16, 16}[op>>5] }
