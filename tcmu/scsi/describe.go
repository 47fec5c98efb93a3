package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Describe returns the name of a command and its fields, such as "lba 2048
// blocks 8 fua". Numbers come first, always in the same order, then flags that
// are set and names of pages. For a command that the disk does not support it
// returns the bytes of the CDB. cdb and data are those of Execute, before or
// after the call.
func (d *Disk) Describe(cdb []byte, data [][]byte) (name, args string) {
	row, err := d.find(cdb)
	if err != nil {
		return describeUnsupported(cdb)
	}
	r := request{cdb: cdb[:len(row.usage)], data: data}
	var numbers, words []string
	for _, p := range row.parts {
		number, word := p.describe(d, r, p.value(r.cdb))
		if number != "" {
			numbers = append(numbers, number)
		}
		if word != "" {
			words = append(words, word)
		}
	}
	return row.name, strings.Join(append(numbers, words...), " ")
}

// describeUnsupported describes a command that the disk does not support, by its
// name if it is in the table.
func describeUnsupported(cdb []byte) (name, args string) {
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

// cdbLength returns the length of a CDB by its group code (SPC-5, OPERATION CODE
// field), or a length to show for groups that do not define one.
func cdbLength(op byte) int { return [8]int{6, 10, 10, 16, 16, 12, 16, 16}[op>>5] }
