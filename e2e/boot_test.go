package e2e

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// bootSector returns a boot sector that prints text on the serial port and then
// executes the code of end, or halts if there is none.
func bootSector(text string, end ...byte) []byte {
	if len(end) == 0 {
		end = []byte{
			0xf4,       // stop: hlt
			0xeb, 0xfd, //       jmp stop
		}
	}
	sector := make([]byte, 512)
	code := []byte{
		0xfa,       //       cli
		0x31, 0xc0, //       xor ax, ax
		0x8e, 0xd8, //       mov ds, ax
		0xbe, byte(27 + len(end)), 0x7c, // mov si, the text, after the code
		0xfc,             // cld
		0xba, 0xfd, 0x03, // next: mov dx, 3fdh: line status register
		0xec,       // wait: in al, dx
		0xa8, 0x20, //       test al, 20h: ready for a byte
		0x74, 0xfb, //       jz wait
		0xac,       //       lodsb
		0x84, 0xc0, //       test al, al
		0x74, 0x05, //       jz end
		0xb2, 0xf8, //       mov dl, f8h
		0xee,       //       out dx, al
		0xeb, 0xee, //       jmp next
	}
	code = append(code, end...)
	copy(sector[copy(sector, code):], text+"\r\n")
	copy(sector[510:], "\x55\xaa")
	return sector
}

// QEMU reaches a LUN in two ways: by its own iSCSI initiator and by vhost-scsi.
func TestVirtualMachineBoots(t *testing.T) {
	for _, tt := range []struct {
		fabric string
		qemu   func(name string) []string
	}{
		{"--iscsi", func(url string) []string { return []string{"-drive", "file=" + url + ",format=raw,if=virtio"} }},
		{"--userspace", func(url string) []string { return []string{"-drive", "file=" + url + ",format=raw,if=virtio"} }},
		{"--vhost", func(wwpn string) []string {
			return []string{"-device", "vhost-scsi-pci,wwpn=" + wwpn + ",bootindex=0"}
		}},
	} {
		t.Run(tt.fabric, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 8<<20)
			write(t, image, 0, bootSector("booted from "+tt.fabric))
			s := launch(t, exec.Command(binary, tt.fabric, image))
			machine, printed, ended := boot(t, tt.qemu(s.line())...)
			printed.await(t, `booted from `+tt.fabric)
			s.signal(os.Interrupt)
			said := s.stderr.await(t, `(?m)^lunserve: \S+ is used by (\S+)(?: \(pid (\d+)\))?; \^C again`)
			want := user{Kind: "initiator", Where: said[1]}
			if tt.fabric == "--vhost" {
				pid, _ := strconv.Atoi(said[2])
				want = user{Kind: "vm", Command: said[1], PID: pid}
			}
			uses(t, want)
			kill(t, machine, ended)
			s.ends()
		})
	}
}

// A running machine does not keep the image open. It holds only the vhost target,
// which goes by the command that lunserve prints.
func TestDiskIsRemovedUnderAVirtualMachine(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 8<<20)
	write(t, image, 0, bootSector("booted"))
	s := launch(t, exec.Command(binary, "--vhost", image))
	wwpn := s.line()
	machine, printed, ended := boot(t, "-device", "vhost-scsi-pci,wwpn="+wwpn+",bootindex=0")
	printed.await(t, "booted")
	if status := s.stop(syscall.SIGTERM); status != 1 {
		t.Errorf("exit status %d\n%s", status, s.stderr)
	}
	left := s.stderr.await(t, `a virtual machine still holds the target, which no longer has disks; try (rmdir .*) when the machine has ended\n`)[1]
	if found := glob(t, configfs+"/core/user_*"); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	kill(t, machine, ended)
	run(t, "sh", "-c", left)
}

// boot starts a virtual machine, which is killed when t ends.
func boot(t *testing.T, disk ...string) (machine *exec.Cmd, printed *record, ended chan struct{}) {
	t.Helper()
	need(t, "qemu-system-x86_64")
	machine = exec.Command("qemu-system-x86_64", append(disk,
		"-machine", "pc", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none", "-serial", "stdio")...)
	printed = newRecord()
	machine.Stdout, machine.Stderr = printed, printed
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { machine.Wait(); printed.close(); close(ended) }()
	t.Cleanup(func() { kill(t, machine, ended) })
	return machine, printed, ended
}

// kill ends a machine by SIGTERM, upon which QEMU logs out of the target.
func kill(t *testing.T, machine *exec.Cmd, ended <-chan struct{}) {
	t.Helper()
	machine.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(timeLimit):
		machine.Process.Kill()
		t.Errorf("%v: still running after %v", machine.Args, timeLimit)
	}
}
