package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Exit statuses of sg3_utils for faults.
const (
	mediumError  = 3
	abortedError = 11
	anyError     = -1
)

// setFaults gives a disk these rules alone.
func setFaults(t *testing.T, image string, rules ...string) {
	t.Helper()
	run(t, binary, append([]string{"fault", "--clear", image}, rules...)...)
}

// fired returns how many commands the rules of a disk have changed.
func fired(t *testing.T, image string) (n int) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^(\d+) faults? by `).FindAllStringSubmatch(run(t, binary, "fault", image), -1) {
		k, _ := strconv.Atoi(m[1])
		n += k
	}
	return n
}

// awaitFired waits until a rule has changed a command.
func awaitFired(t *testing.T, image string) {
	t.Helper()
	for end := time.Now().Add(timeLimit); fired(t, image) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no rule has changed a command")
		}
	}
}

// sg_raw, sg_dd and others see the sense data and the status of each action. The rules
// change while the disk is served.
func TestFaultsAreSeenBySGUtils(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image, block := newImage(t, dir, 16<<20), filepath.Join(dir, "block")
	s := start(t, "--fault=read lba 1000+8: medium", "--fault=write lba 1100: medium", "--fault=unmap: unsupported",
		"--fault=read lba 1200: aborted", "--fault=read lba 1201: transport", "--fault=read lba 1202: reservation", "--fault=read lba 1203: ua",
		"--fault=read lba 1204 once: busy", "--fault=read lba 1205 once: task-set-full", "--fault=flush once: medium", "--fault=flush once: lost", image)
	disk := generic(t, s.disks[0])
	if err := os.WriteFile(block, noise(512, 9), 0o600); err != nil {
		t.Fatal(err)
	}
	const readRaw = "sg_raw --request=2048 DISK 28 00 00 00 03 e6 00 00 04 00" // LBA 998 to 1001
	for _, tt := range []struct {
		command string
		status  int
		says    string
	}{
		{readRaw, mediumError, `(?s)Fixed format.*Medium Error.*Unrecovered read error.*Info fld=0x3e8`},
		{"sg_dd if=DISK of=/dev/null bs=512 skip=990 count=20 bpt=20", mediumError, `1 unrecovered error`},
		{"sg_dd if=DISK of=/dev/null bs=512 skip=900 count=100", good, ``},
		{"sg_read if=DISK bs=512 skip=1007 count=1", anyError, ``},
		{"sg_verify --lba=1003 --count=5 DISK", anyError, `(?i)medium`},
		{"sg_dd if=BLOCK of=DISK bs=512 seek=1000 count=1", good, ``}, // reallocates the block
		{"sg_raw --request=512 DISK 28 00 00 00 03 e8 00 00 01 00", good, ``},
		{readRaw, mediumError, `Info fld=0x3e9`},
		{"sg_raw --send=512 --infile=BLOCK DISK 2a 00 00 00 04 4c 00 00 01 00", mediumError, `(?s)Medium Error.*Write error.*Info fld=0x44c`},
		{"sg_unmap --force --lba=0 --num=8 DISK", invalidOpcode, ``},
		{"sg_raw DISK 42 00 00 00 00 00 00 00 00 00", invalidOpcode, `Invalid command operation code`},
		{"sg_raw --request=512 DISK 28 00 00 00 04 b0 00 00 01 00", abortedError, `Aborted Command`},
		{"sg_raw --request=512 DISK 28 00 00 00 04 b1 00 00 01 00", abortedError, `(?s)Aborted Command.*[Aa]ck/nak timeout`},
		{"sg_raw --request=512 DISK 28 00 00 00 04 b2 00 00 01 00", anyError, `(?i)reservation conflict`},
		{"sg_raw --request=512 DISK 28 00 00 00 04 b3 00 00 01 00", unitAttention, `(?s)Unit Attention.*Power on, reset, or bus device reset occurred`},
		{"sg_raw --request=512 DISK 28 00 00 00 04 b4 00 00 01 00", good, ``}, // Linux sends it again
		{"sg_raw --request=512 DISK 28 00 00 00 04 b5 00 00 01 00", good, ``},
		{"sg_sync DISK", anyError, ``},
		{"sg_sync DISK", good, ``}, // lost
		{"lunserve fault --clear IMAGE RULE", good, `0 faults by any once: ua\n--fault-seed \d+ repeats them\n`},
		{"sg_logs --page=0x19 DISK", unitAttention, ``},
		{"lunserve list", good, `\n  1 fault by any once: ua\n`},
	} {
		args := strings.Fields(strings.NewReplacer("DISK", disk, "BLOCK", block, "IMAGE", image, "lunserve", binary).Replace(tt.command))
		if args[len(args)-1] == "RULE" {
			args[len(args)-1] = "any once: ua"
		}
		out, err := try(t, args[0], args[1:]...)
		status := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			status = exit.ExitCode()
		}
		if status != tt.status && (tt.status != anyError || status == 0) || !regexp.MustCompile(tt.says).MatchString(out) {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", tt.command, status, tt.status, tt.says, out)
		}
	}
	s.ends()
	s.stderr.await(t, `lunserve: `+s.disks[0]+` removed; .*, 17 faults\nlunserve: `+s.disks[0]+`: 1 fault by any once: ua\n`)
}

// Linux takes the blocks before the bad one for read, and those of a write for
// written. They have the right data.
func TestFaultsSpareTheBlocksBefore(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	data := noise(64<<10, 3)
	write(t, image, 1<<20, data)
	s := start(t, "--fault=read lba 2099: medium", "--fault=write lba 10043: medium", image)
	hasOneBadPage(t, s.disks[0], 1<<20, data, (2099-2048)/8*4096)
	w, err := os.OpenFile(s.disks[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.WriteAt(data[:32<<10], 10016*512); err == nil {
		err = w.Sync()
	}
	if w.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the write: %v", err)
	}
	s.ends()
	holds(t, image, 10016*512, data[:27*512])
	holds(t, image, 10043*512, make([]byte, 512))
}

// A file system gets the errors, and goes on when the block was written.
func TestFaultsReachAFileSystem(t *testing.T) {
	needTarget(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	image := newImage(t, dir, 64<<20)
	s := start(t, image)
	run(t, "mkfs.ext4", "-q", "-b", "4096", s.disks[0])
	mount(t, s.disks[0], mnt)
	data, file := noise(64<<10, 4), filepath.Join(mnt, "file")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	dropCaches(t)
	blocks := strings.Fields(run(t, "debugfs", "-R", "blocks /file", s.disks[0]))
	at, err := strconv.Atoi(blocks[len(blocks)-8]) // after the banner
	if err != nil {
		t.Fatal(blocks)
	}
	dropCaches(t)
	kernel := followKernel(t)
	bad := filepath.Join(dir, "bad.map")
	if err := os.WriteFile(bad, fmt.Appendf(nil, "# Mapfile\n0x0 + 1\n0x0 %#x +\n%#x 0x200 -\n", at*4096, at*4096), 0o600); err != nil {
		t.Fatal(err)
	}
	setFaults(t, image, "map="+bad)
	if _, err := os.ReadFile(file); !errors.Is(err, syscall.EIO) {
		t.Errorf("a file with a bad block: %v", err)
	}
	kernel.await(t, fmt.Sprintf("critical medium error, dev %s, sector %d ", filepath.Base(s.disks[0]), at*8))
	write(t, file, 0, data)
	dropCaches(t)
	holds(t, file, 0, data)
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()
}

// What a disk loses, tears or flips, nobody is told.
func TestFaultsThatNobodyIsTold(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--fault=write lba 64+8 once: torn 1", "--fault=write lba 256+8 after 2: lost", "--fault=read lba 512: flip", image)
	disk := s.disks[0]
	data := noise(4096, 5)
	put := func(lba int64, with []byte) {
		t.Helper()
		write(t, disk, lba*512, with)
	}
	put(64, data)
	put(256, data)
	put(256, make([]byte, 4096)) // lost
	put(512, data)
	dropCaches(t)
	got := read(t, disk, 512*512, 512)
	if n := differing(got, data); n != 1 {
		t.Errorf("%d bits were flipped", n)
	}
	s.ends()
	holds(t, image, 64*512, append(data[:512:512], make([]byte, 4096-512)...))
	holds(t, image, 256*512, data)
	holds(t, image, 512*512, data)
}

// differing counts the bits in which a differs from the start of b.
func differing(a, b []byte) (n int) {
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

// More commands are delayed than there are workers, and others pass them.
func TestFaultsDelayNoOtherCommand(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--fault=read lba 4096+4096: hang", image)
	load := exec.Command("fio", "--name=held", "--filename="+s.disks[0], "--rw=randread", "--bs=4k", "--offset=2m", "--size=2m",
		"--direct=1", "--ioengine=libaio", "--iodepth=64", "--io_size=256k")
	need(t, "fio")
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(timeLimit); fired(t, image) < 40; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d commands are held", fired(t, image))
		}
	}
	read(t, s.disks[0], 0, 1<<20) // waits for none of them
	run(t, "sg_sync", s.disks[0]) // a slow one
	setFaults(t, image)
	if err := load.Wait(); err != nil {
		t.Errorf("fio: %v", err)
	}
	s.ends()
}

// A delayed command is late by that time.
func TestFaultsDelay(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--fault=read lba 4096: delay 300ms..400ms", image)
	began := time.Now()
	run(t, "sg_raw", "--request=512", generic(t, s.disks[0]), "28", "00", "00", "00", "10", "00", "00", "00", "01", "00")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("after %v", took)
	}
	s.ends()
}

// impatient makes Linux wait a second for a command of a disk.
func impatient(t *testing.T, disk string) {
	t.Helper()
	for _, name := range []string{"timeout", "eh_timeout"} {
		if err := os.WriteFile(filepath.Join("/sys/class/block", filepath.Base(disk), "device", name), []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// A command that hangs is aborted and sent again, hangs again, and is aborted by a
// reset of the logical unit. Then it succeeds: the program notices nothing.
func TestFaultsDriveErrorRecovery(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	data := noise(4096, 6)
	write(t, image, 1<<20, data)
	s := start(t, "--fault=read lba 2048 once: hang", "--fault=read lba 2048 once: hang", image)
	impatient(t, s.disks[0])
	kernel := followKernel(t)
	// Not through the page cache: Linux does not repeat what it reads ahead.
	copied := filepath.Join(t.TempDir(), "copy")
	run(t, "dd", "if="+s.disks[0], "of="+copied, "bs=4k", "skip=256", "count=1", "iflag=direct")
	holds(t, copied, 0, data)
	kernel.await(t, `ABORT_TASK: Found referenced loopback task_tag`)
	kernel.await(t, `sd `+address(t, s.disks[0])+`: Power-on or device reset occurred`)
	if n := fired(t, image); n != 2 {
		t.Errorf("%d commands hung", n)
	}
	s.ends()
}

// When nothing answers any more, Linux goes through all of its recovery and takes the
// disk offline. It can be removed, though nobody can flush it.
func TestFaultsTakeADiskOffline(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, image)
	impatient(t, s.disks[0])
	kernel := followKernel(t)
	setFaults(t, image, "any: hang")
	fails(t, "dd", "if="+s.disks[0], "of=/dev/null", "bs=4k", "count=1", "iflag=direct")
	kernel.await(t, address(t, s.disks[0])+`: Device offlined`)
	if status := s.stop(os.Interrupt); status != 1 {
		t.Errorf("exit status %d", status)
	}
	s.stderr.await(t, s.disks[0]+`: flush: no such device or address\n`)
}

// SIGTERM, and the death of the server, remove a disk on which a command hangs. It is
// executed then.
func TestFaultsDoNotKeepADisk(t *testing.T) {
	for sig, rules := range map[syscall.Signal][]string{syscall.SIGTERM: {"any: hang", "any: busy"}, syscall.SIGKILL: {"any: hang"}} {
		for _, rule := range rules {
			t.Run(fmt.Sprint(sig, " ", rule), func(t *testing.T) {
				needTarget(t)
				image := newImage(t, tmpfsDir(t), 16<<20)
				data := noise(4096, 7)
				write(t, image, 1<<20, data)
				s := start(t, "--fault="+rule, image)
				dd := exec.Command("dd", "if="+s.disks[0], "bs=4k", "skip=256", "count=1", "iflag=direct", "status=none")
				var got bytes.Buffer
				dd.Stdout = &got
				if err := dd.Start(); err != nil {
					t.Fatal(err)
				}
				awaitFired(t, image)
				began := time.Now()
				s.signal(sig)
				s.wait()
				awaitNoDisks(t)
				t.Logf("removed after %v", time.Since(began))
				// Linux may fail a command of a disk that goes, but does not answer with other data.
				if err := dd.Wait(); err == nil && !bytes.Equal(got.Bytes(), data) {
					t.Error("dd read something else")
				} else if err != nil && rule == "any: hang" && sig == syscall.SIGTERM {
					t.Errorf("dd: %v", err)
				}
			})
		}
	}
}

// With --restart the rules of the command line begin anew; others are lost.
func TestFaultsAfterARestart(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--restart", "--fault=read lba 1000: medium", "--fault-seed=12", image)
	run(t, binary, "fault", image, "write every 1000: busy")
	before := run(t, binary, "fault", image)
	if want := "0 faults by read lba 1000+1: medium\n0 faults by write every 1000: busy\n--fault-seed 12 repeats them\n"; before != want {
		t.Errorf("the rules are\n%swant\n%s", before, want)
	}
	first, began := s.cmd.Process.Pid, time.Now()
	s.signal(syscall.SIGKILL)
	serverOf(t, image, first)
	t.Logf("served again after %v", time.Since(began))
	if got, want := run(t, binary, "fault", image), "0 faults by read lba 1000+1: medium\n--fault-seed 12 repeats them\n"; got != want {
		t.Errorf("the rules are\n%swant\n%s", got, want)
	}
	if out := fails(t, "sg_raw", "--request=512", generic(t, s.disks[0]), "28", "00", "00", "00", "03", "e8", "00", "00", "01", "00"); !strings.Contains(out, "Medium Error") {
		t.Error(out)
	}
	t.Logf("after %v", time.Since(began))
	run(t, binary, "detach", image)
	t.Logf("detached after %v", time.Since(began))
	s.wait()
}

// An upgrade keeps the rules, as far as they still apply, and lets no command hang.
func TestFaultsAfterAnUpgrade(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image, data := newImage(t, dir, 16<<20), noise(512, 9)
	s := startProgram(t, install(t, dir), "--fault=read lba 1000+2: medium", image)
	disk := s.disks[0]
	setFaults(t, image, "read lba 1000+2: medium", "read lba 2000: hang")
	run(t, "dd", "if=/dev/zero", "of="+disk, "bs=512", "seek=1000", "count=1", "oflag=direct")
	dd := exec.Command("dd", "if="+disk, "of=/dev/null", "bs=512", "skip=2000", "count=1", "iflag=direct")
	if err := dd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFired(t, image)
	s.upgrade(1)
	if err := dd.Wait(); err != nil {
		t.Errorf("dd: %v", err)
	}
	if got := run(t, binary, "fault", image); !strings.HasPrefix(got, "0 faults by read lba 1001+1: medium\n0 faults by read lba 2000+1: hang\n") {
		t.Errorf("the rules are\n%s", got)
	}
	write(t, disk, 0, data)
	holds(t, disk, 0, data)
	s.ends()
}

// Rules are the same for an initiator of another machine.
func TestFaultsOverISCSI(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	data := noise(64<<10, 8)
	write(t, image, 1<<20, data)
	s := launch(t, exec.Command(binary, "--iscsi", "--fault=read lba 2099: medium", image))
	n := newInitiator(t).node(itsName, s.line())
	disk := n.login()
	out := fails(t, "sg_raw", "--request=2048", generic(t, disk), "28", "00", "00", "00", "08", "31", "00", "00", "04", "00")
	if !regexp.MustCompile(`(?s)Medium Error.*Unrecovered read error.*Info fld=0x833`).MatchString(out) {
		t.Error(out)
	}
	hasOneBadPage(t, disk, 1<<20, data, (2099-2048)/8*4096)
	n.logout()
	s.ends()
}

// The status line says that a disk misbehaves.
func TestFaultsInTheStatusLine(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command(binary, "--fault=any: busy", newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stderr = program
	s := launch(t, cmd)
	disk := s.line()
	program.Close()
	screen := newRecord()
	go func() {
		io.Copy(screen, person)
		screen.close()
	}()
	screen.await(t, `lunserve: `+disk+`: any: busy\r\nlunserve: --fault-seed \d+ repeats the faults\r\n`)
	screen.await(t, `\r`+disk+` \(\d+ faults\): read `)
	s.ends()
}
