package scsi

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
)

// What INQUIRY says unless the options do.
const (
	vendor   = "LUNSERVE"
	product  = "DISK IMAGE"
	revision = "1"
)

// inquiry is SPC-5, INQUIRY command.
func (d *Disk) inquiry(r request) (int, error) {
	allocation := int(binary.BigEndian.Uint16(r.cdb[3:]))
	if r.cdb[1]&1 == 0 { // EVPD
		if r.cdb[2] != 0 {
			return 0, badField(2, -1)
		}
		return r.reply(d.standardInquiry(), allocation)
	}
	for _, p := range d.vpdPages() {
		if p.code == r.cdb[2] {
			body := p.body(d)
			page := binary.BigEndian.AppendUint16([]byte{d.deviceType(), p.code}, uint16(len(body)))
			return r.reply(append(page, body...), allocation)
		}
	}
	return 0, badField(2, -1)
}

// standardInquiry is SPC-5, Standard INQUIRY data.
func (d *Disk) standardInquiry() []byte {
	b := make([]byte, 96)
	b[0] = d.deviceType()
	b[2] = 0x06 // SPC-4, the latest that test suites accept
	if d.has&removable != 0 {
		b[1] = 0x80 // RMB
	}
	b[3] = 0x12 // HISUP, response data format 2
	b[4] = byte(len(b) - 5)
	b[5] = 0x10 // TPGS: implicit, with only one state
	b[7] = 0x02 // CMDQUE
	pad(b[8:16], d.Vendor)
	pad(b[16:32], d.Product)
	pad(b[32:36], d.Revision)
	versions := []uint16{0x00a0, 0x0460, 0x04c0} // SAM-5, SPC-4, SBC-3
	if d.has&multimedia != 0 {
		versions[2] = 0x04e0 // MMC-6
	}
	for i, version := range versions {
		binary.BigEndian.PutUint16(b[58+2*i:], version)
	}
	return b
}

// deviceType is SPC-5, PERIPHERAL DEVICE TYPE field.
func (d *Disk) deviceType() byte {
	if d.has&multimedia != 0 {
		return 0x05 // CD/DVD device
	}
	return 0x00 // direct-access block device
}

// pad fills b with s and trailing blanks, the format of ASCII fields.
func pad(b []byte, s string) {
	copy(b, s+strings.Repeat(" ", len(b)))
}

// A vpdPage is a page of vital product data without its header.
type vpdPage struct {
	code byte
	name string
	body func(*Disk) []byte
}

// vpdPages returns the pages of this disk in ascending order.
func (d *Disk) vpdPages() []vpdPage {
	pages := []vpdPage{
		{0x00, "supported VPD pages", (*Disk).supportedPages},
		{0x80, "unit serial number", func(d *Disk) []byte { return []byte(d.Serial) }},
		{0x83, "device identification", (*Disk).identification},
		{0x86, "extended INQUIRY data", (*Disk).extendedInquiry},
	}
	if d.has&directAccess != 0 {
		pages = append(pages,
			vpdPage{0xb0, "block limits", (*Disk).blockLimits},
			vpdPage{0xb1, "block device characteristics", (*Disk).characteristics})
	}
	if d.has&thin != 0 {
		pages = append(pages, vpdPage{0xb2, "logical block provisioning", (*Disk).provisioning})
	}
	return pages
}

// supportedPages is SPC-5, Supported VPD Pages VPD page.
func (d *Disk) supportedPages() (b []byte) {
	for _, p := range d.vpdPages() {
		b = append(b, p.code)
	}
	return b
}

// identification is SPC-5, Device Identification VPD page. It names the logical
// unit (NAA, T10 vendor ID, SCSI name string) and its one target port.
func (d *Disk) identification() (b []byte) {
	const binaryCode, asciiCode, utf8Code = 1, 2, 3
	const unit, port = 0x00, 0x10
	add := func(code, designator byte, name []byte) {
		b = append(b, code, designator, 0, byte(len(name)))
		b = append(b, name...)
	}
	naa, _ := hex.DecodeString(d.NAA)
	add(binaryCode, unit|3, naa)
	var t10 [24]byte
	pad(t10[:8], d.Vendor)
	pad(t10[8:], d.Product)
	add(asciiCode, unit|1, append(t10[:], d.Serial...))
	name := []byte("naa." + d.NAA + "\x00")
	for len(name)%4 != 0 {
		name = append(name, 0)
	}
	add(utf8Code, unit|8, name)
	add(binaryCode, port|4, []byte{0, 0, 0, 1}) // relative target port
	add(binaryCode, port|5, []byte{0, 0, 0, 0}) // target port group, as in REPORT TARGET PORT GROUPS
	return b
}

// extendedInquiry is SPC-5, Extended INQUIRY Data VPD page.
func (d *Disk) extendedInquiry() []byte {
	b := make([]byte, 0x3c)
	// Only SIMPSUP: the target core leaves task attributes to passthrough
	// devices (transport_check_alloc_task_attr), but does not pass them on.
	b[1] = 0x01
	if d.cached() {
		b[2] = 0x01 // V_SUP: volatile cache
	}
	return b
}

// blockLimits is SBC-4, Block Limits VPD page.
func (d *Disk) blockLimits() []byte {
	b := make([]byte, 0x3c)
	b[0] = 1 // WSNZ: WRITE SAME of zero blocks is not supported
	blocks := func(bytes int64) uint32 { return uint32(min(bytes/int64(d.BlockSize), math.MaxUint32)) }
	if d.has&writable != 0 {
		b[1] = maxCompareAndWrite
	}
	binary.BigEndian.PutUint16(b[2:], uint16(blocks(int64(d.PhysicalBlock))))
	binary.BigEndian.PutUint32(b[4:], blocks(cmp.Or(d.MostBytes, MaxTransfer)))
	binary.BigEndian.PutUint32(b[8:], blocks(optimalTransfer))
	binary.BigEndian.PutUint32(b[12:], blocks(MaxTransfer)) // MAXIMUM PREFETCH LENGTH
	if d.has&thin != 0 {
		binary.BigEndian.PutUint32(b[16:], blocks(maxUnmapBytes))
		binary.BigEndian.PutUint32(b[20:], maxUnmapDescriptors)
		binary.BigEndian.PutUint32(b[24:], blocks(unmapGranularity))
		binary.BigEndian.PutUint32(b[28:], 0x80000000) // UGAVALID, alignment 0
	}
	if d.has&writable != 0 {
		binary.BigEndian.PutUint64(b[32:], uint64(blocks(maxWriteSameBytes)))
	}
	return b
}

// characteristics is SBC-4, Block Device Characteristics VPD page.
func (d *Disk) characteristics() []byte {
	b := make([]byte, 0x3c)
	binary.BigEndian.PutUint16(b, 1) // non-rotating medium
	if d.Rotational {
		binary.BigEndian.PutUint16(b, 7200) // rpm
	}
	if d.has&thin != 0 {
		b[3] = 0x40 // WABEREQ: erased blocks can be read
	}
	return b
}

// provisioning is SBC-4, Logical Block Provisioning VPD page.
func (d *Disk) provisioning() []byte {
	const lbpu, lbpws, lbpws10, lbprz = 0x80, 0x40, 0x20, 0x04
	const thinProvisioned = 2
	return []byte{0, lbpu | lbpws | lbpws10 | lbprz, thinProvisioned, 0}
}
