package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The flags show in what sg3_utils and the kernel read from the disk.
func TestDiskIsWhatWasAskedFor(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/readonly=%v", sector, readOnly), func(t *testing.T) {
				needTarget(t)
				const size = 48<<20 + 4096
				args := []string{fmt.Sprintf("--sector-size=%d", sector), newImage(t, tmpfsDir(t), size)}
				if readOnly {
					args = append(args, "-r")
				}
				s := start(t, args...)
				disk, writable := s.disks[0], !readOnly
				sg := generic(t, disk)

				says(t, "sg_readcap", sg).
					has(`Last LBA=%d `, size/sector-1).has(`Logical block length=%d bytes`, sector)
				says(t, "sg_readcap", "--16", sg).
					has(`Last LBA=%d `, size/sector-1).has(`Logical block length=%d bytes`, sector).
					has(`Logical blocks per physical block exponent=%d`, 3*flag(sector == 512)).
					has(`lbpme=%d, lbprz=%[1]d`, flag(writable))

				// Linux has read the same.
				for attribute, want := range map[string]any{
					"size":                      int64(size / 512),
					"ro":                        flag(readOnly),
					"queue/logical_block_size":  sector,
					"queue/physical_block_size": 4096,
					"queue/rotational":          0,
					"queue/write_cache":         map[bool]string{true: "write back", false: "write through"}[writable],
				} {
					if got := sys(t, disk, attribute); got != fmt.Sprint(want) {
						t.Errorf("%s is %s, want %v", attribute, got, want)
					}
				}

				says(t, "sg_inq", sg).has(`PQual=0 +PDT=0 `).has(`CmdQue=1`).
					has(`Vendor identification: LUNSERVE`).has(`Product identification: \S`)
				for _, length := range []string{"--dbout", "--six"} { // MODE SENSE of 10 bytes, and of 6
					says(t, "sg_modes", length, sg).has(`WP=%d, DpoFua=1`, flag(readOnly)).
						has(`>> Caching, page_control: current\n 00 +08 12 0%d `, 4*flag(writable)). // WCE
						has(`>> Control, page_control: current\n 00 +0a 0a `)
				}
				says(t, "sg_modes", "--page=8", sg).has(`Caching`).lacks(`Control`)
				fails(t, "sg_modes", "--page=0x1c", sg) // not a page of this disk

				pages := says(t, "sg_vpd", sg).has(`\[sn\]`).has(`\[di\]`).has(`\[bl\]`).has(`\[bdc\]`)
				says(t, "sg_vpd", "--page=bdc", sg).has(`Non-rotating medium`)
				limits := says(t, "sg_vpd", "--page=bl", sg).
					has(`Maximum transfer length: %d blocks`, (32<<20)/sector).
					has(`Optimal transfer length granularity: %d blocks`, 4096/sector)
				opcodes := says(t, "sg_opcodes", "--no-inquiry", sg).
					has(`Read\(10\)`).has(`Read\(16\)`).has(`Write\(10\)`).has(`Synchronize cache\(10\)`).has(`Inquiry`)
				if writable {
					pages.has(`\[lbpv\]`)
					says(t, "sg_vpd", "--page=lbpv", sg).has(`\(LBPU\): 1`).has(`\(LBPWS\): 1`).has(`\(LBPRZ\): 1`)
					limits.has(`Maximum unmap LBA count: [1-9]`).has(`Optimal unmap granularity: %d blocks`, 4096/sector)
					opcodes.has(`Unmap`)
				} else {
					pages.lacks(`\[lbpv\]`)
					limits.lacks(`Maximum unmap LBA count: [1-9]`)
					opcodes.lacks(`Unmap`)
				}
				says(t, "sg_turs", sg)
				says(t, "sg_requests", sg).has(`No Sense|No additional sense`)
				says(t, "sg_sync", sg)
				s.ends()
			})
		}
	}
}

// An image has the same serial number and WWN at each start, by any path, and
// shares them with no other image.
func TestNamesOfADiskLast(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image, other := newImage(t, dir, 1<<20), newImage(t, dir, 1<<20)
	names := func(image string) string {
		t.Helper()
		s := start(t, image)
		serial := says(t, "sg_vpd", "--page=sn", s.disks[0]).has(`(?m)^  Unit serial number: [0-9a-f]{16}$`)
		wwn := says(t, "sg_vpd", "--page=di", s.disks[0]).has(`(?m)^      0x5001405[0-9a-f]{9}$`)
		s.ends()
		return serial.text + wwn.text
	}
	first := names(image)
	if names(other) == first {
		t.Error("two images have the same names")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(image, link); err != nil {
		t.Fatal(err)
	}
	if again := names(link); again != first {
		t.Errorf("the names were\n%sand are\n%s", first, again)
	}
}

// Its blocks need more than 32 bits.
func TestDiskOfThreeTebibytes(t *testing.T) {
	needTarget(t)
	const size = 3 << 40
	image := filepath.Join(ext4Dir(t), "disk.img")
	s := start(t, "--size=3T", image)
	disk := s.disks[0]
	says(t, "sg_readcap", disk).has(`READ CAPACITY \(10\) indicates device capacity too large`)
	says(t, "sg_readcap", "--16", disk).has(`Last LBA=%d `, int64(size/512-1))
	for _, off := range []int64{0, 2<<40 - 4096, 2 << 40, size - 8192} {
		write(t, disk, off, noise(8192, byte(off>>40)))
	}
	for _, off := range []int64{0, 2 << 40, size - 8192} {
		holds(t, disk, off, noise(8192, byte(off>>40)))
	}
	s.ends()
	holds(t, image, 2<<40-4096, noise(8192, 1)[:4096])
	if n := allocated(t, image); n > 1<<20 {
		t.Errorf("the image takes %d bytes", n)
	}
}
