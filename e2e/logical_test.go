package e2e

import (
	le "encoding/binary"
	"os"
	"strings"
	"testing"
)

// Linux numbers logical partitions as `info` and --partition do, whatever tables are empty.
func TestLogicalPartitionsHaveLinuxsNumbers(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	disk, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for block, entries := range map[int][][3]uint32{
		0:   {{0x83, 64, 64}, {5, 128, 1024}},
		128: {{}, {5, 256, 256}},
		384: {{0x83, 1, 63}, {5, 512, 256}, {0x83, 64, 32}},
		640: {{0x83, 8, 16}, {5, 128, 64}, {0x83, 9000, 1}},
		256: {{}, {5, 128, 64}},
	} {
		b := disk[512*block:]
		b[510], b[511] = 0x55, 0xaa
		for i, e := range entries {
			b[450+16*i] = byte(e[0])
			le.LittleEndian.PutUint32(b[454+16*i:], e[1])
			le.LittleEndian.PutUint32(b[458+16*i:], e[2])
		}
	}
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, image)
	node := strings.TrimPrefix(s.disks[0], "/dev/")
	for part, first := range map[string]string{"1": "64", "5": "385", "6": "448", "7": "648"} {
		if got := sys(t, s.disks[0], node+part+"/start"); got != first {
			t.Errorf("partition %s begins at %s, want %s", part, got, first)
		}
	}
	if exists("/dev/" + node + "8") {
		t.Error("there is a partition 8")
	}
	s.ends()
}
