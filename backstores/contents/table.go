package contents

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// A table is a partition table.
type table struct {
	kind  string // empty if there is none
	block int    // the size of the blocks it counts in, or 0 if that is unknown
	parts []Volume
	notes []string
}

// maxPartitions is Linux's DISK_MAX_PARTS.
const maxPartitions = 256

func (t *table) note(format string, a ...any) { t.notes = append(t.notes, fmt.Sprintf(format, a...)) }

// table finds the partition table. Which of two tables counts is as for Linux: a
// GPT needs a protective MBR. mayBeMBR is unset for a file system, whose boot
// sector may resemble an MBR.
func (p *probe) table(mayBeMBR bool) table {
	g, m := p.gpt(), p.mbr()
	if g.kind == "" && m.protective {
		return table{kind: "GPT, damaged", notes: []string{"only the protective MBR of the GPT is left"}}
	}
	switch {
	case g.kind != "" && m.protective:
	case g.kind != "" && len(m.parts) > 0 && mayBeMBR:
		m.note("there is a GPT as well, which Linux ignores: the MBR has no entry for it")
		return m.table
	case g.kind != "":
		g.note("the protective MBR of the GPT is missing, so Linux ignores the GPT")
	case mayBeMBR:
		m.cutShort(p.size)
		return m.table
	}
	g.cutShort(p.size)
	return g
}

// cutShort adds a note if a partition reaches past the end.
func (t *table) cutShort(size int64) {
	end := int64(0)
	for _, v := range t.parts {
		end = max(end, v.Start+v.Size)
	}
	if end > size {
		t.note("its partitions need %s more than the image has; was it cut short?", humanize.IBytes(uint64(end-size)))
	}
}
