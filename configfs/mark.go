package configfs

import (
	"fmt"
	"strings"
)

// A mark is the alias of a device: which process serves it, and what.
type mark struct {
	server        process
	wwn, contents string // as in Spec
}

// String is what parseMark parses.
func (m mark) String() string {
	text := m.server.String()
	if m.contents != "" {
		text += " " + m.wwn + " of " + m.contents
	}
	return text
}

func parseMark(s string) mark {
	m := mark{server: parseProcess(s)}
	if head, contents, ok := strings.Cut(s, " of "); ok {
		m.wwn, m.contents = head[strings.LastIndexByte(head, ' ')+1:], contents
	}
	return m
}

// setMark makes this process the server of a device.
func (t *tree) setMark(device string, s Spec) {
	t.set(device+"/alias", atMost(511, mark{t.self(), s.WWN, s.Contents}.String()))
}

// serialOf returns the unit serial number of a device.
func (m machine) serialOf(device string) string {
	text, _ := readAttribute(m.configfs(), "target", device, "wwn/vpd_unit_serial")
	_, serial, _ := strings.Cut(text, ": ") // after the title that the kernel puts before it
	return serial
}

// A LUN is a place of a device in a target.
type LUN struct {
	Fabric, Target string // such as "loopback", "naa.5001405…"
	Number         int
}

func (l LUN) String() string { return fmt.Sprintf("LUN %d of %s", l.Number, l.Target) }
