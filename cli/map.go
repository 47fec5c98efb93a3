package cli

import "strings"

// mapColumns is the width of a map of a disk.
const mapColumns = 60

// drawMap returns lines that show where the data of a disk is and, below it, where its
// partitions are, or nothing if that is not known.
func (a *imageInfo) drawMap() (lines []string) {
	if a.layout == nil || a.Size < mapColumns {
		return nil
	}
	var data, parts strings.Builder
	for i, n := range a.layout.Data {
		start, end := a.layout.Part(i, a.Size), a.layout.Part(i+1, a.Size)
		switch n {
		case 0:
			data.WriteByte('.')
		case end - start:
			data.WriteByte('#')
		default:
			data.WriteByte('+')
		}
		parts.WriteByte(a.partitionIn(start, end))
	}
	lines = append(lines, data.String())
	if strings.Trim(parts.String(), "-") != "" {
		lines = append(lines, parts.String())
	}
	return lines
}

// partitionIn returns the last digit of the partition that has the most of these bytes
// of the disk, or - if there is none.
func (a *imageInfo) partitionIn(start, end int64) byte {
	most, name := int64(0), byte('-')
	for _, v := range a.Volumes {
		if n := min(end, v.Start+v.Size) - max(start, v.Start); v.Partition > 0 && n > most {
			most, name = n, byte('0'+v.Partition%10)
		}
	}
	return name
}
