package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// bootSector is a program for a BIOS. It prints the text in sector 1000 of the disk
// from which it was started on the serial port, writes that sector to sector 2000, and
// ends QEMU, with the status 33 if there was no error.
var bootSector = []byte{
	0x31, 0xc0, // xor ax, ax
	0x8e, 0xd8, // mov ds, ax
	0x52,             // push dx: the disk
	0xbe, 0x40, 0x7c, // mov si, packet
	0xb4, 0x42, // mov ah, 42h: read
	0xcd, 0x13, // int 13h
	0x72, 0x24, // jc failed
	0xbe, 0x00, 0x80, // mov si, 8000h
	0xba, 0xf8, 0x03, // mov dx, 3f8h
	0xac,       // next: lodsb
	0x84, 0xc0, // test al, al
	0x74, 0x03, // jz printed
	0xee,       // out dx, al
	0xeb, 0xf8, // jmp next
	0xc7, 0x06, 0x48, 0x7c, 0xd0, 0x07, // printed: mov word [packet+8], 2000
	0xbe, 0x40, 0x7c, // mov si, packet
	0x5a,             // pop dx
	0xb8, 0x00, 0x43, // mov ax, 4300h: write
	0xcd, 0x13, // int 13h
	0x72, 0x04, // jc failed
	0xb0, 0x10, // mov al, 16
	0xe6, 0xf4, // out f4h, al: the device isa-debug-exit
	0xb0, 0x11, // failed: mov al, 17
	0xe6, 0xf4, // out f4h, al

	0x40 - 1: 0,
	// packet: its size, one sector, to 8000h, from sector 1000
	0x10, 0x00, 0x01, 0x00, 0x00, 0x80, 0x00, 0x00, 0xe8, 0x03, 0, 0, 0, 0, 0, 0,

	510: 0x55, 0xaa,
}

// A BIOS machine without a disk boots from ours, by the iPXE of its network card.
func TestIPXEBootsTheDisk(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err, "; apt-get install qemu-system-x86")
		}
		t.Skip("no qemu-system-x86_64 here")
	}
	text := make([]byte, 512)
	copy(text, "served by lunserve")
	store := newStore(t, 16<<20, false)
	for block, data := range map[int64][]byte{0: bootSector, 1000: text} {
		if err := backstores.WriteVec(store, [][]byte{data}, 512*block, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, portals := serve(t, iscsi.Options{}, newDisk(store, scsi.Options{}))
	_, port, err := net.SplitHostPort(portals[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!ipxe\nsanboot iscsi:10.0.2.2::%s:0:%s\n", port, targetName)
	if err := os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "pc", "-m", "64", "-nodefaults", "-display", "none", "-serial", "stdio",
		"-netdev", "user,id=net,bootfile=boot.ipxe,tftp="+dir, "-device", "e1000,netdev=net", "-boot", "n",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4")
	out, err := cmd.Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2*16+1 || string(out) != "served by lunserve" {
		t.Fatalf("%v\n%s", err, out)
	}
	got := make([]byte, 512)
	if _, err := store.ReadAt(got, 512*2000); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the sector that it wrote is %q, %v", bytes.TrimRight(got, "\x00"), err)
	}
}
