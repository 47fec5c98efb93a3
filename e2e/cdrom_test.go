package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// newISO makes an ISO image of a folder that holds a file.
func newISO(t *testing.T, dir string) (iso string) {
	t.Helper()
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "word"), []byte("lunserve\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	iso = filepath.Join(dir, "disc.iso")
	run(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", iso, files)
	return iso
}

// Linux has the image as a CD-ROM, and mounts it.
func TestCDROMIsMounted(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	iso := newISO(t, tmpfsDir(t))
	s := start(t, "--cdrom", iso)
	disk := s.disks[0]
	if disk != "/dev/sr0" {
		t.Fatalf("%s, not /dev/sr0", disk)
	}
	says(t, "sg_inq", disk).has(`PDT=5 `).has(`RMB=1`)
	says(t, "sg_readcap", disk).has(`Logical block length=2048 bytes`)
	says(t, "sg_modes", "--page=0x2a", disk).has(`MM capabilities`)
	says(t, "sg_get_config", disk).has(`current profile: CD-ROM|CD-ROM`).has(`Random readable`)
	mnt := t.TempDir()
	run(t, "mount", "-o", "ro", disk, mnt)
	t.Cleanup(func() { try(t, "umount", mnt) })
	word, err := os.ReadFile(filepath.Join(mnt, "word"))
	if err != nil || string(word) != "lunserve\n" {
		t.Errorf("%q, %v", word, err)
	}
	run(t, "umount", mnt)
	run(t, "cmp", iso, disk)
	run(t, "sg_start", "--eject", disk)
	fails(t, "sg_turs", disk) // cmp would have Linux close the tray
	run(t, "sg_start", "--load", disk)
	run(t, "cmp", iso, disk)
	fails(t, binary, "resize", disk, "+1M")
	s.ends()
}

// A CD-ROM outlives its server as a disk does.
func TestCDROMOutlivesItsServer(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	iso := newISO(t, tmpfsDir(t))
	s := start(t, "--cdrom", "--restart", "--single-queue", iso)
	killed := s.cmd.Process.Pid
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	serverOf(t, iso, killed)
	run(t, "cmp", iso, s.disks[0])
	run(t, binary, "detach", iso)
	s.wait()
}

// It outlives an upgrade as well.
func TestCDROMOutlivesAnUpgrade(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	iso := newISO(t, dir)
	s := startProgram(t, install(t, dir), "--cdrom", iso)
	install(t, dir)
	t.Log(s.upgrade(1))
	run(t, "cmp", iso, s.disks[0])
	says(t, "sg_inq", s.disks[0]).has(`PDT=5 `)
	s.ends()
}

// The kernel's target has it as a CD-ROM too, and only --iscsi needs no driver for it here.
func TestInitiatorReadsTheCDROM(t *testing.T) {
	needTarget(t)
	iso := newISO(t, tmpfsDir(t))
	s, urls := startISCSI(t, "--cdrom", iso)
	says(t, "iscsi-inq", urls[0]).has(`Type:MMC`)
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", iso, urls[0])
	s.ends()
}
