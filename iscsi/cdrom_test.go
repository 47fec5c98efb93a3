package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// bootCD is a program for a BIOS. It prints the text behind it on the serial port and
// ends QEMU, with the status 33.
const bootCD = "\x31\xc0\x8e\xd8" + // xor ax, ax; mov ds, ax
	"\xbe\x17\x7c" + // mov si, text
	"\xba\xf8\x03" + // mov dx, 3f8h
	"\xac\x84\xc0\x74\x03\xee\xeb\xf8" + // next: lodsb; test al, al; jz printed; out dx, al; jmp next
	"\xb0\x10\xe6\xf4\x90" + // printed: mov al, 16; out f4h, al: the device isa-debug-exit
	"booted from a CD\x00"

// A BIOS machine boots from a CD-ROM of ours, which QEMU reads, or passes on as it is.
func TestQEMUBootsTheCD(t *testing.T) {
	for _, program := range []string{"qemu-system-x86_64", "xorriso"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err, "; apt-get install qemu-system-x86 xorriso")
			}
			t.Skip("no ", program, " here")
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "files", "boot"), append([]byte(bootCD), make([]byte, 2048)...), 0o600); err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(dir, "cd.iso")
	if out, err := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-b", "boot", "-no-emul-boot", "-boot-load-size", "4",
		filepath.Join(dir, "files")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, int64(len(image)), false)
	if err := backstores.WriteVec(store, [][]byte{image}, 0, 0); err != nil {
		t.Fatal(err)
	}
	cd := newDisk(struct{ backstores.Backstore }{store}, scsi.Options{BlockSize: 2048, CDROM: true})
	_, portals := serve(t, iscsi.Options{}, cd)
	drive := "readonly=on,format=raw,file=iscsi://" + portals[0] + "/" + targetName + "/0"
	for name, args := range map[string][]string{
		"read by QEMU": {"-drive", "if=ide,media=cdrom," + drive},
		"passed on":    {"-device", "virtio-scsi-pci", "-device", "scsi-generic,drive=cd", "-drive", "if=none,id=cd," + drive},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{"-machine", "pc", "-m", "64", "-nodefaults", "-display", "none",
				"-serial", "stdio", "-net", "none", "-boot", "d", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"}, args...)...)
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 2*16+1 || string(out) != "booted from a CD" {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// READ CD has its length in other bytes than READ, which the session knows too.
func TestSessionReadsACD(t *testing.T) {
	const block = 2048
	store := newStore(t, 8*block, false)
	data := bytes.Repeat([]byte("lunserve"), block/8)
	if err := backstores.WriteVec(store, [][]byte{data}, 3*block, 0); err != nil {
		t.Fatal(err)
	}
	cd := newDisk(struct{ backstores.Backstore }{store}, scsi.Options{BlockSize: block, CDROM: true})
	_, portals := serve(t, iscsi.Options{}, cd)
	i := dial(t, portals[0]).login()
	i.command(0xc1, block, []byte{0xbe, 0, 0, 0, 0, 3, 0, 0, 1, 0x10, 0, 0}, nil)
	if got := i.good(); !bytes.Equal(got, data) {
		t.Errorf("% x", got)
	}
}
