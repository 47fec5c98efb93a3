package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Exit statuses of sg3_utils, by the status and sense of a command.
const (
	good           = 0
	notReady       = 2
	illegalRequest = 5
	unitAttention  = 6
	invalidOpcode  = 9
	miscompare     = 14
	outOfRange     = 22 // LOGICAL BLOCK ADDRESS OUT OF RANGE
	noPage         = 83 // sg_vpd's for a page that the disk does not have
)

// The commands run in this order on one disk. DISK is the disk. These are files:
// DATA is block 2048; ZEROS is a block of zeros; PAIR and WRONG are for COMPARE AND
// WRITE, where PAIR begins with block 2048 and WRONG does not.
func TestSGUtils(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	s := start(t, newImage(t, dir, 64<<20))
	disk := generic(t, s.disks[0])
	data := noise(512, 1)
	write(t, s.disks[0], 1<<20, noise(1<<20, 1))
	files := map[string][]byte{
		"DATA": data, "ZEROS": make([]byte, 512), "PAIR": append(data[:512:512], noise(512, 2)...), "WRONG": append(noise(512, 3), data...),
	}
	kinds := kindsOfResets(t)
	words := []string{"DISK", disk, "RESET", kinds[len(kinds)-1]}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		words = append(words, name, path)
	}
	const modePage = "08,12,%s,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00"
	for _, tt := range []struct {
		command string
		status  int
		says    string // a pattern
	}{
		{"sg_inq DISK", good, `(?s)PDT=0.*\[SPC-4\].*CmdQue=1.*LUNSERVE`},
		{"sg_vpd --page=sv DISK", good, `(?s)\[sn\].*\[di\].*\[ei\].*\[bl\].*\[bdc\].*\[lbpv\]`},
		{"sg_vpd --page=sn DISK", good, `Unit serial number: [0-9a-f]{16}`},
		{"sg_vpd --page=di DISK", good, `(?s)0x5001405[0-9a-f]{9}.*LUNSERVE.*naa\.5001405[0-9a-f]{9}.*Relative target port: 0x1.*Target port group: 0x0`},
		{"sg_vpd --page=ei DISK", good, `(?s)HEADSUP=0 ORDSUP=0 SIMPSUP=1.*V_SUP=1`},
		{"sg_vpd --page=bl DISK", good, `(?s)compare and write length: 255 blocks.*Maximum transfer length: 65536.*Maximum prefetch.*: 65536 ` +
			`.*unmap LBA count: 1048576.*descriptor count: 64.*granularity: 8 .*alignment valid: true.*write same length: 0x200000`},
		{"sg_vpd --page=bdc DISK", good, `(?s)Non-rotating.*WABEREQ=1`},
		{"sg_vpd --page=lbpv DISK", good, `(?s)\(LBPU\): 1.*\(LBPWS\): 1.*\(LBPWS10\): 1.*\(LBPRZ\): 1.*\(ANC_SUP\): 0.*thin provisioned`},
		{"sg_vpd --page=mpp DISK", noPage, ``},
		{"sg_vpd --page=0xb3 DISK", noPage, ``},
		{"sg_vpd --page=0xff DISK", noPage, ``},

		{"sg_opcodes DISK", good, `(?s) 00 .*Test Unit Ready.* 89 .*Compare and write.* 9e       12 .*Get LBA status.* b7 `},
		{"sg_opcodes --rctd DISK", good, `Read\(10\)`},
		{"sg_opcodes --opcode=0x28 DISK", good, `Usage data: 28 18 ff ff ff ff 00 ff ff 00`},
		{"sg_opcodes --opcode=0x9e,0x12 DISK", good, `Usage data: 9e 12 `},
		{"sg_opcodes --opcode=0xa0 DISK", good, `Usage data: a0 00 ff `}, // the kernel answers these two
		{"sg_opcodes --opcode=0x5f,0x06 DISK", good, `Usage data: 5f 06 ff `},
		{"sg_opcodes --opcode=0x83 DISK", good, `NOT supported`},
		{"sg_opcodes --tmf DISK", good, `(?s)Abort task\n.*Logical unit reset`},
		{"sg_rtpg DISK", good, `(?s)target port group id : 0x0.*access state : 0x00.*0x01`},
		{"sg_luns DISK", good, `1 lun entry`},
		{"sg_readcap DISK", good, `(?s)Last LBA=131071 .*length=512 bytes`},
		{"sg_readcap --16 DISK", good, `(?s)prot_en=0.*lbpme=1, lbprz=1.*Last LBA=131071 .*exponent=3`},

		{"sg_logs DISK", good, `(?s)\[0x0\].*0x0c.*\[lbp\].*0x19.*\[gsp\]`},
		{"sg_logs --page=lbp DISK", good, `Used LBA mapping threshold resource count: \d+\n`},
		{"sg_logs --page=gsp DISK", good, `(?s)number of read commands = \d+.*number of write commands = [1-9]`},
		{"sg_logs --page=0x0d DISK", illegalRequest, ``}, // no thermometer
		{"sg_modes --all DISK", good, `(?s)WP=0, DpoFua=1.*Caching.*08 12 04.*Control.*0a 0a 00 10`},
		{"sg_modes --control=1 --page=8 DISK", good, `changeable\n 00 +08 12 04 00`},
		{"sg_modes --control=3 --page=8 DISK", illegalRequest, ``}, // none is saved
		{"sg_wr_mode --page=8 --contents=" + fmt.Sprintf(modePage, "00") + " DISK", good, ``},
		{"sg_modes --page=8 DISK", good, `08 12 00 `},
		{"sg_wr_mode --page=8 --contents=" + fmt.Sprintf(modePage, "04") + " DISK", good, ``},
		{"sg_wr_mode --page=8 --contents=" + fmt.Sprintf(modePage, "14") + " DISK", illegalRequest, ``},
		{"sg_modes --page=8 DISK", good, `08 12 04 `},

		{"sg_get_lba_status --lba=0 DISK", good, `LBA: 0x0+  blocks: +2048  deallocated`},
		{"sg_get_lba_status --lba=2048 DISK", good, `LBA: 0x0+800  blocks: +2048  mapped`},
		{"sg_get_lba_status --lba=131072 DISK", outOfRange, ``},
		{"sg_compare_and_write --in=PAIR --lba=2048 --num=1 --xferlen=1024 DISK", good, ``},
		{"sg_compare_and_write --in=WRONG --lba=2048 --num=1 --xferlen=1024 DISK", miscompare, `Miscompare at byte offset: 0 `},
		{"sg_verify --lba=2048 --count=8 DISK", good, ``},
		{"sg_verify --16 --lba=2048 --count=8 DISK", good, ``},
		{"sg_verify --lba=131072 --count=1 DISK", outOfRange, ``},
		{"sg_verify --lba=2048 --count=1 --ndo=512 --in=DATA DISK", miscompare, `MISCOMPARE`},
		{"sg_write_same --10 --lba=2048 --num=8 --in=DATA DISK", good, ``},
		{"sg_verify --lba=2055 --count=1 --ndo=512 --in=DATA DISK", good, ``},
		{"sg_write_same --16 --lba=2056 --num=8 --in=DATA DISK", good, ``},
		{"sg_verify --16 --lba=2063 --count=1 --ndo=512 --in=DATA DISK", good, ``},
		{"sg_write_same --16 --ndob --lba=2056 --num=8 DISK", good, ``},
		{"sg_verify --lba=2063 --count=1 --ndo=512 --in=ZEROS DISK", good, ``},
		{"sg_write_same --16 --unmap --lba=2048 --num=8 DISK", good, ``},
		{"sg_get_lba_status --lba=2048 DISK", good, `LBA: 0x0+800  blocks: +8  deallocated`},
		{"sg_verify --lba=2048 --count=1 --ndo=512 --in=ZEROS DISK", good, ``},
		{"sg_write_same --16 --anchor --unmap --lba=2048 --num=8 DISK", illegalRequest, ``},
		{"sg_write_same --16 --wrprotect=1 --lba=2048 --num=8 DISK", illegalRequest, ``},
		{"sg_unmap --force --lba=2064 --num=2032 DISK", good, ``},
		{"sg_get_lba_status --lba=2064 DISK", good, `deallocated`},
		{"sg_unmap --force --anchor --lba=2048 --num=8 DISK", illegalRequest, ``},
		{"sg_unmap --force --lba=131071 --num=2 DISK", outOfRange, ``},
		{"sg_write_verify --16 --in=DATA --lba=5 --num=1 --ilen=512 DISK", good, ``},
		{"sg_write_x --or --in=DATA --lba=6 --num=1 DISK", good, ``},
		{"sg_reassign --grown DISK", good, `grown defect list: 0`},
		{"sg_sync DISK", good, ``},
		{"sg_senddiag --test DISK", good, `GOOD`},

		{"sg_turs --num=3 DISK", good, `with 0 errors`},
		{"sg_requests DISK", good, `No Sense`},
		{"sg_start --stop DISK", good, ``},
		{"sg_turs DISK", notReady, `not ready`},
		{"sg_requests DISK", good, `initializing command required`},
		{"sg_raw DISK 28 00 00 00 00 00 00 00 01 00", notReady, `initializing command required`},
		{"sg_start DISK", good, ``},
		{"sg_turs DISK", good, ``},
		{"sg_start --eject DISK", illegalRequest, ``}, // it is not --removable
		{"sg_prevent --prevent=1 DISK", invalidOpcode, ``},
		{"sg_reset --device DISK", good, ``},
		{"sg_turs DISK", unitAttention, `Bus device reset function occurred`},
		{"sg_turs DISK", good, ``},
		{"sg_reset RESET DISK", good, ``},
		{"sg_turs DISK", unitAttention, ``},

		// Invalid CDBs.
		{"sg_raw DISK c1 00 00 00 00 00", invalidOpcode, `Invalid command operation code`},
		{"sg_raw DISK 9e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00", illegalRequest, `byte 1 bit 4`},
		{"sg_raw --request=512 DISK 28 20 00 00 00 00 00 00 01 00", illegalRequest, `byte 1 bit 5`}, // RDPROTECT
		{"sg_raw --request=512 DISK 28 00 00 00 00 00 40 00 01 00", illegalRequest, `byte 6 bit 6`},
		{"sg_raw --request=512 DISK 28 00 00 00 00 00 00 00 01 04", illegalRequest, `byte 9 bit 2`}, // NACA
		{"sg_raw --request=512 DISK 28 00 ff ff ff ff 00 00 01 00", outOfRange, `(?s)Logical block address out of range.*Info fld=0xffffffff`},
		{"sg_raw --request=512 DISK 88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00", outOfRange, `out of range`},
		{"sg_raw --send=512 --infile=DATA DISK 2a 00 00 00 00 00 00 00 02 00", illegalRequest, `Invalid field in command information unit`},
		{"sg_raw --send=512 --infile=DATA DISK 55 00 00 00 00 00 00 02 00 00", illegalRequest, `byte 1 bit 4`}, // not PF
		{"sg_raw --send=512 --infile=DATA DISK 42 00 00 00 00 00 00 00 07 00", illegalRequest, `Parameter list length error`},
		{"sg_raw --request=255 DISK 12 00 83 00 ff 00", illegalRequest, `byte 2`}, // a page code without EVPD
		{"sg_raw --request=255 DISK 4d 00 59 00 00 ff ff 00 ff 00", illegalRequest, `byte 5`},
		{"sg_raw --request=8 DISK a3 0c 07 00 00 00 00 00 00 08 00 00", illegalRequest, `byte 2`},

		{"sg_sanitize --crypto --quick DISK", illegalRequest, ``},
		{"sg_sanitize --fail --quick --wait DISK", good, ``}, // no failure mode to exit
		{"sg_sanitize --block --quick --wait DISK", good, ``},
		{"sg_get_lba_status --lba=0 DISK", good, `blocks: +131072  deallocated`},
		{"sg_sanitize --overwrite --count=2 --invert --pattern=DATA --quick --wait DISK", good, ``},
		{"sg_verify --lba=131071 --count=1 --ndo=512 --in=DATA DISK", miscompare, ``}, // inverted at last
		{"sg_sanitize --overwrite --pattern=DATA --quick --wait DISK", good, ``},
		{"sg_verify --lba=131071 --count=1 --ndo=512 --in=DATA DISK", good, ``},
	} {
		args := strings.Fields(strings.NewReplacer(words...).Replace(tt.command))
		out, err := try(t, args[0], args[1:]...)
		status := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			status = exit.ExitCode()
		}
		if status != tt.status || !regexp.MustCompile(tt.says).MatchString(out) {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", tt.command, status, tt.status, tt.says, out)
		}
	}
	s.ends()
}

// No write is lost or misplaced.
func TestResetsUnderLoad(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, ext4Dir(t), 32<<20))
	disk := s.disks[0]
	job := []string{"--bsrange=512-64k", "--io_size=24m"}
	written := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		defer close(written)
		if out, err := try(t, "fio", fioJob(disk, job...)...); err != nil {
			t.Errorf("fio: %v\n%s", err, out)
		}
	})
	resets, kinds := 0, kindsOfResets(t)
	for running := true; running; resets++ {
		if out, err := try(t, "sg_reset", kinds[resets%len(kinds)], disk); err != nil {
			t.Errorf("sg_reset: %v\n%s", err, out)
			break
		}
		select {
		case <-written:
			running = false
		default:
		}
	}
	load.Wait()
	if t.Logf("%d resets", resets); resets < 4 {
		t.Error("too few")
	}
	dropCaches(t)
	run(t, "fio", fioJob(disk, append(job, "--verify_only")...)...)
	s.ends()
}

// A SANITIZE does not delay the end: lunserve stops it, with a warning.
func TestSanitizeEndsWithTheDisk(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, tmpfsDir(t), 512<<20))
	data := newImage(t, tmpfsDir(t), 512)
	run(t, "sg_sanitize", "--overwrite", "--count=31", "--pattern="+data, "--quick", "--early", s.disks[0])
	s.stop(syscall.SIGTERM)
	s.stderr.await(t, `stopped before its end`)
}
