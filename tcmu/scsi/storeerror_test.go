package scsi

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

func TestStoreErrorsBecomeSenseData(t *testing.T) {
	list := string(unmapList(5, 1))
	block := strings.Repeat("x", 512)
	zeros := strings.Repeat("\x00", 512)
	for _, tt := range []struct {
		name, cdb, out string
		call           string
		err            error
		fail           string
	}{
		{"READ(6)", "08 00 0005 02 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"READ(10)", "28 00 00000005 00 0002 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"READ(12)", "a8 00 00000005 00000002 00 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"READ(16)", "88 00 0000000000000005 00000002 00 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"READ(10), image truncated", "28 00 00000005 00 0002 00", block, "read", io.ErrUnexpectedEOF, "3/11/00 info 5"},
		{"READ(10) FUA, flush", "28 08 00000005 00 0002 00", block, "flush", unix.EIO, "4/0c/00…"},
		{"VERIFY(10)", "2f 00 00000005 00 0002 00", "", "read", unix.EIO, "3/11/00 info 5"},
		{"VERIFY(12)", "af 00 00000005 00000001 00 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"VERIFY(16)", "8f 02 0000000000000005 00000001 00 00", block, "read", unix.EIO, "3/11/00 info 5"},
		{"WRITE(6)", "0a 00 0005 01 00", block, "write", unix.EIO, "3/0c/00 info 5"},
		{"WRITE(10)", "2a 00 00000005 00 0001 00", block, "write", unix.EIO, "3/0c/00 info 5"},
		{"WRITE(12)", "aa 00 00000005 00000001 00 00", block, "write", unix.EIO, "3/0c/00 info 5"},
		{"WRITE(16)", "8a 00 0000000000000005 00000001 00 00", block, "write", unix.EIO, "3/0c/00 info 5"},
		{"WRITE(10), no space", "2a 00 00000005 00 0001 00", block, "write", unix.ENOSPC, "7/27/07"},
		{"WRITE(10) FUA, no space", "2a 08 00000005 00 0001 00", block, "write", unix.ENOSPC, "7/27/07"},
		{"WRITE(10), no quota", "2a 00 00000005 00 0001 00", block, "write", unix.EDQUOT, "7/27/07"},
		{"WRITE(10), refused", "2a 00 00000005 00 0001 00", block, "write", fmt.Errorf("%w: %w", backstores.ErrProtected, unix.ENOSPC), "7/27/00"},
		{"SYNCHRONIZE CACHE(10)", "35 00 00000000 00 0000 00", "", "flush", unix.EIO, "4/0c/00…"},
		{"SYNCHRONIZE CACHE(16)", "91 00 0000000000000000 00000000 00 00", "", "flush", unix.EIO, "4/0c/00…"},
		{"SYNCHRONIZE CACHE(10), no space", "35 00 00000000 00 0000 00", "", "flush", unix.ENOSPC, "7/27/07"},
		{"START STOP UNIT", "1b 00 00 00 00 00", "", "flush", unix.EIO, "4/0c/00…"},
		{"UNMAP", "42 00 00000000 00 0018 00", list, "trim", unix.EIO, "3/0c/00 info 5"},
		{"UNMAP, no space", "42 00 00000000 00 0018 00", list, "trim", unix.ENOSPC, "7/27/07"},
		{"WRITE SAME(10)", "41 00 00000005 00 0003 00", block, "write", unix.EIO, "3/0c/00"},
		{"WRITE SAME(10), zeros", "41 00 00000005 00 0003 00", zeros, "zero", unix.EIO, "3/0c/00"},
		{"WRITE SAME(16), no space", "93 01 0000000000000005 00000003 00 00", "", "zero", unix.ENOSPC, "7/27/07"},
		{"WRITE SAME(16) UNMAP", "93 09 0000000000000005 00000003 00 00", "", "trim", unix.EIO, "3/0c/00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("thin", 512)
			cause := fmt.Errorf("disk.img: %w", tt.err)
			u.fails[tt.call] = cause
			_, why := execute(t, u.Disk, unhex(tt.cdb), []byte(tt.out))
			if want, open := strings.CutSuffix(tt.fail, "…"); why != want && !(open && strings.HasPrefix(why, want)) {
				t.Errorf("sense data %q, want %q", why, tt.fail)
			}
			if len(u.reports) != 1 || !errors.Is(u.reports[0], tt.err) {
				t.Errorf("reported errors %q, want %q", u.reports, cause)
			}
			if s := u.Stats(); s.Reads+s.Writes+s.Trims > 0 {
				t.Errorf("counted: %+v", s)
			}
			if u.medium.stopped {
				t.Error("stopped, though the flush failed")
			}
		})
	}
}

// A store that refuses one write after the other reports the first.
func TestRefusalWithoutCauseIsNotReported(t *testing.T) {
	u := newUnit("thin", 512)
	u.fails["write"] = backstores.ErrProtected
	_, why := execute(t, u.Disk, unhex("2a 00 00000005 00 0001 00"), make([]byte, 512))
	if why != "7/27/00" || len(u.reports) > 0 {
		t.Errorf("sense data %q, reported %q", why, u.reports)
	}
}

func TestErrorWithoutWaitCompletesTheCommand(t *testing.T) {
	u := newUnit("thin", 512)
	u.fails["read"] = unix.EIO
	r, err := u.Execute(unhex("28 00 00000005 00 0001 00"), [][]byte{stale(512)}, false)
	if err != nil || checkResult(t, r, 512) != "3/11/00 info 5" {
		t.Errorf("%+v, %v", r, err)
	}
	if len(u.reports) != 1 {
		t.Errorf("reported errors %q", u.reports)
	}
}

// A failed read names it wherever it is in the range, a failed write only if
// there is no other block.
func TestInformationIsTheBadBlock(t *testing.T) {
	for _, tt := range []struct{ name, cdb, out, fail string }{
		{"READ(10)", "28 00 00000008 00 0010 00", "", "3/11/00 info 13"},
		{"READ(16)", "88 00 0000000000000000 00000200 00 00", "", "3/11/00 info 13"},
		{"READ(10), that block", "28 00 0000000d 00 0001 00", "", "3/11/00 info 13"},
		{"READ(10), before it", "28 00 00000008 00 0005 00", "", ""},
		{"VERIFY(10)", "2f 00 00000008 00 0010 00", "", "3/11/00 info 13"},
		{"ORWRITE(16)", "8b 00 0000000000000008 00000010 00 00", strings.Repeat("x", 8192), "3/11/00 info 13"},
		{"WRITE(10)", "2a 00 00000008 00 0010 00", strings.Repeat("x", 8192), "3/0c/00"},
		{"WRITE(10), that block", "2a 00 0000000d 00 0001 00", strings.Repeat("x", 512), "3/0c/00 info 13"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("thin", 512)
			u.bad = 13 * 512
			buf := []byte(tt.out)
			if tt.out == "" {
				buf = stale(1 << 20)
			}
			if _, why := execute(t, u.Disk, unhex(tt.cdb), buf); why != tt.fail {
				t.Errorf("sense data %q, want %q", why, tt.fail)
			}
		})
	}
}

func TestOnlyStoreErrorsAreReported(t *testing.T) {
	u := newUnit("thin", 512)
	execute(t, u.Disk, unhex("28 00 00001000 00 0002 00"), stale(1024))
	execute(t, u.Disk, unhex("c1 00 00000000 00 0000 00"))
	if len(u.reports) > 0 {
		t.Errorf("reported errors %q", u.reports)
	}
}

func TestReportMayBeNil(t *testing.T) {
	u := newUnit("thin", 512)
	u.Report = nil
	u.fails["read"] = unix.EIO
	if _, why := execute(t, u.Disk, unhex("28 00 00000005 00 0002 00"), stale(1024)); why != "3/11/00 info 5" {
		t.Errorf("sense data %q", why)
	}
}

func TestUnmapStopsAtFirstError(t *testing.T) {
	u := newUnit("thin", 512)
	u.fails["trim"] = unix.EIO
	list := unmapList(5, 1, 9, 1)
	if _, why := execute(t, u.Disk, unmapCDB(len(list)), list); why != "3/0c/00 info 5" {
		t.Errorf("sense data %q", why)
	}
	if want := []string{"trim 512 at 2560"}; !slices.Equal(u.calls, want) {
		t.Errorf("store calls %q, want %q", u.calls, want)
	}
}

// It counts once, when it is executed again.
func TestCommandThatWouldBlockHasNoEffect(t *testing.T) {
	for _, tt := range []struct {
		name, cdb string
		tried     []string // store calls without wait
		stats     Stats
	}{
		{"READ(6)", "08 00 0005 01 00", []string{"read 512 at 2560 nowait"}, Stats{Reads: 1, ReadBytes: 512}},
		{"READ(10)", "28 00 00000005 00 0001 00", []string{"read 512 at 2560 nowait"}, Stats{Reads: 1, ReadBytes: 512}},
		{"READ(10) FUA", "28 08 00000005 00 0001 00", nil, Stats{Reads: 1, ReadBytes: 512}},
		{"READ(16)", "88 00 0000000000000005 00000001 00 00", []string{"read 512 at 2560 nowait"}, Stats{Reads: 1, ReadBytes: 512}},
		{"WRITE(10)", "2a 00 00000005 00 0001 00", []string{"write 512 at 2560 nowait"}, Stats{Writes: 1, WrittenBytes: 512}},
		{"WRITE(10) FUA", "2a 08 00000005 00 0001 00", []string{"write 512 at 2560 nowait durable"}, Stats{Writes: 1, WrittenBytes: 512}},
		{"WRITE(16)", "8a 00 0000000000000005 00000001 00 00", []string{"write 512 at 2560 nowait"}, Stats{Writes: 1, WrittenBytes: 512}},
		{"SYNCHRONIZE CACHE(10)", "35 00 00000000 00 0000 00", nil, Stats{Flushes: 1}},
		{"SYNCHRONIZE CACHE(16)", "91 00 0000000000000000 00000000 00 00", nil, Stats{Flushes: 1}},
		{"WRITE SAME(16)", "93 01 0000000000000005 00000001 00 00", nil, Stats{Writes: 1, WrittenBytes: 512}},
		{"VERIFY(10)", "2f 00 00000005 00 0001 00", nil, Stats{}},
		{"VERIFY(16)", "8f 00 0000000000000005 00000001 00 00", nil, Stats{}},
		{"VERIFY(12)", "af 00 00000005 00000001 00 00", nil, Stats{}},
		{"WRITE AND VERIFY(10)", "2e 00 00000005 00 0001 00", nil, Stats{Writes: 1, WrittenBytes: 512}},
		{"ORWRITE(16)", "8b 00 0000000000000005 00000001 00 00", nil, Stats{Writes: 1, WrittenBytes: 512}},
		{"PRE-FETCH(10)", "34 00 00000005 00 0001 00", nil, Stats{}},
		{"GET LBA STATUS", "9e 12 0000000000000000 00000018 00 00", nil, Stats{}},
		{"LOG SENSE", "4d 00 4c 00 00 0000 00ff 00", nil, Stats{}},
		{"SEND DIAGNOSTIC", "1d 04 00 0000 00", nil, Stats{}},
		{"START STOP UNIT", "1b 00 00 00 00 00", nil, Stats{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("thin", 512)
			u.busy = true
			before := slices.Clone(u.bytes)
			bufs := split(stale(1000), 100) // the same ones each time, as from the ring
			for range 2 {
				u.calls = nil
				r, err := u.Execute(unhex(tt.cdb), bufs, false)
				if err != backstores.ErrWouldBlock || r.Status != 0 || r.DataIn != 0 || r.Sense != nil {
					t.Errorf("%+v, %v", r, err)
				}
				if !slices.Equal(u.calls, tt.tried) {
					t.Errorf("store calls %q, want %q", u.calls, tt.tried)
				}
			}
			if !slices.Equal(before, u.bytes) || u.medium.stopped || len(u.reports) > 0 {
				t.Errorf("has an effect: reports %q, stopped %v", u.reports, u.medium.stopped)
			}
			if s := u.Stats(); s != (Stats{}) {
				t.Errorf("counted: %+v", s)
			}
			if r, err := u.Execute(unhex(tt.cdb), bufs, true); err != nil || r.Status != good {
				t.Errorf("then, with wait: %+v, %v", r, err)
			}
			if s := u.Stats(); s != tt.stats {
				t.Errorf("counted %+v, want %+v", s, tt.stats)
			}
		})
	}
}

func TestControlCommandsNeverBlock(t *testing.T) {
	u := newUnit("thin", 512)
	u.busy = true
	for _, cdb := range []string{
		"00 00 00 00 00 00", "03 00 00 00 12 00", "12 00 00 00ff 00", "12 01 b0 00ff 00", "1a 00 3f 00 ff 00",
		"5a 00 3f 00 000000 0100 00", "25 00 00000000 00 00 00 00", "9e 10 0000000000000000 00000020 00 00",
		"a3 0c 00 00 0000 00001000 00 00", "a3 0a 00 00 0000 00001000 00 00", "a3 0d 80 00 0000 00001000 00 00", "37 00 18 00000000 00ff 00",
		"1c 01 00 00ff 00", "1d 00 00 0000 00", "28 00 00000000 00 0000 00", "2a 00 00000000 00 0000 00",
	} {
		if r, err := u.Execute(unhex(cdb), [][]byte{stale(4096)}, false); err != nil || r.Status != good {
			t.Errorf("%s: %+v, %v", cdb, r, err)
		}
	}
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
}

// Even a store that returns ErrWouldBlock when it must not cannot leave a
// command without a status.
func TestCommandsThatMayWaitAreAlwaysCompleted(t *testing.T) {
	for _, cdb := range []string{"28 00 00000005 00 0001 00", "2a 00 00000005 00 0001 00", "2f 00 00000005 00 0001 00",
		"35 00 00000000 00 0000 00", "93 01 0000000000000005 00000001 00 00",
		"8b 00 0000000000000005 00000001 00 00", "2e 00 00000005 00 0001 00", "89 00 0000000000000005 000000 01 00 00",
		"34 00 00000005 00 0001 00", "1d 04 00 0000 00", "1b 00 00 00 00 00"} {
		u := newUnit("thin", 512)
		for _, call := range []string{"read", "write", "flush", "zero", "trim"} {
			u.fails[call] = backstores.ErrWouldBlock
		}
		r, err := u.Execute(unhex(cdb), [][]byte{stale(1024)}, true)
		if err != nil || r.Status != checkCondition {
			t.Errorf("%s: %+v, %v", cdb, r, err)
		}
	}
}

// It is for the race detector.
func TestConcurrentCommands(t *testing.T) {
	u := newUnit("thin", 512)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			buf := stale(1024)
			for j := range 200 {
				lba := (i*200 + j) % 1000
				for _, how := range []string{"2a00%08x00000200", "2800%08x00000200", "2f00%08x00000200", "3500%08x00000000",
					"9301%016x000000010000", "1b0000000100", "120000006000",
					"8900%016x000000010000", "8b00%016x000000020000", "2e00%08x00000200", "34000000000000000100", "4d004c00000000010000", "9e12%016x000000180000"} {
					wait := j%2 == 0
					if _, err := u.Execute(cdbWith(how, lba), [][]byte{buf}, wait); wait && err != nil {
						t.Errorf("%s: %v", how, err)
					}
				}
			}
			u.Stats()
		})
	}
	wg.Wait()
}
