package image

import (
	"compress/bzip2"
	"compress/gzip"
	"io"
	"strings"
)

// inside returns the tar archive in a compressed file, or nil. If the file is
// compressed in a way that the standard library cannot read, its name decides.
func (c *candidate) inside() *candidate {
	var in io.Reader
	file := io.NewSectionReader(c.file, 0, c.size)
	switch {
	case isGzip(c.sectors):
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil
		}
		in = z
	case isBzip2(c.sectors):
		in = bzip2.NewReader(file)
	default:
		if strings.Contains(c.path, ".tar.") || strings.HasSuffix(c.path, ".txz") {
			return &candidate{path: c.path, file: c.file}
		}
		return nil
	}
	head := make([]byte, sectorBytes)
	n, _ := io.ReadFull(in, head)
	inner := &candidate{path: c.path, file: c.file, sectors: sectors{head: head[:n]}}
	if !isTar(inner.sectors) {
		return nil
	}
	return inner
}
