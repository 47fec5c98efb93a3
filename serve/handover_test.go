package serve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/guard"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

func aHandOver() *handOver {
	return &handOver{
		Schema: handOverSchema, Version: "lunserve v1", Dir: "/", Parent: 1, Hangup: true,
		Started: time.Unix(1, 2).UTC(), Stopped: time.Unix(3, 4).UTC(),
		Signals: 10, Control: -1, Trace: -1, Guard: &guard.Handed{PID: 77, FD: 9}, Command: 78,
		CHAP: &configfs.CHAP{User: "u", Secret: "a secret of RFC"},
		Disks: []*handedOverDisk{
			{Name: "a", Ring: 3, Image: 4, Overlay: -1, Size: 1 << 40, State: scsi.State{WriteThrough: true, Stats: scsi.Stats{Reads: 1<<64 - 1}}},
			{Name: "b", Ring: 5, Image: 6, Overlay: 7, Size: 511, State: scsi.State{Prevented: true, CapacityChanged: true}, Faults: []string{"read: medium"}},
		},
	}
}

func TestHandOverIsReadAsWritten(t *testing.T) {
	h := aHandOver()
	fd, err := h.encode()
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, maxHandOver)
	n, err := unix.Pread(fd, text, 0)
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeHandOver(text[:n]); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("read is %+v, %v\nwritten was %+v", got, err, h)
	}
}

func TestHandOverOfAnotherSchemaIsRefused(t *testing.T) {
	for want, change := range map[string]func(h *handOver){
		"schema":         func(h *handOver) { h.Schema++ },
		"disk":           func(h *handOver) { h.Disks = nil },
		"disk is":        func(h *handOver) { h.Disks[1] = nil },
		"not complete":   func(h *handOver) { h.Disks[0].Image = -1 },
		"process":        func(h *handOver) { h.Guard.PID = -1 }, // wait4 would take it for any
		"a process":      func(h *handOver) { h.Command = 1 },
		"descriptors":    func(h *handOver) { h.Signals = 2 },
		"that cannot":    func(h *handOver) { h.Disks[0].Ring = h.Disks[1].Ring },
		"cannot be":      func(h *handOver) { h.Trace = -2 },
		`"a" is not com`: func(h *handOver) { h.Disks[0].Size = 0 },
	} {
		h := aHandOver()
		change(h)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeHandOver(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v", want, err)
		}
	}
}

// The text comes from another program.
func FuzzHandOver(f *testing.F) {
	text, err := json.Marshal(aHandOver())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"Schema":2,"Disks":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := decodeHandOver(text)
		if err != nil {
			return
		}
		for _, fd := range h.descriptors() {
			if fd < 3 {
				t.Errorf("descriptor %d", fd)
			}
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeHandOver(again); err != nil || !reflect.DeepEqual(back, h) {
			t.Errorf("read again it is %+v, %v; was %+v", back, err, h)
		}
	})
}

// What a variable of the environment says is not believed.
func TestForeignHandOverIsRefused(t *testing.T) {
	fd, err := unix.MemfdCreate("foreign", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"x", "-1", "0", "2", "123456", fmt.Sprint(fd)} {
		if h, err := receive(value); err == nil {
			t.Errorf("%q is taken for %+v", value, h)
		}
	}
}

// Only a lunserve that says that it can take over is executed. The signal that all
// processes of a unit get does not end the trial.
func TestProgramIsTried(t *testing.T) {
	script := func(text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "lunserve")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := script("#!/bin/sh\nkill -USR2 $$; kill -USR1 $$; [ \"$*\" = '--version -r a b' ] && echo lunserve v2 && [ $LUNSERVE_ASK_SCHEMA ] && echo '"+schemaLine+"'\n", 0o755)
	if version, err := tryProgram(t.Context(), good, []string{"-r", "a b"}); version != "lunserve v2" || err != nil {
		t.Errorf("the version is %q, %v", version, err)
	}
	for _, bad := range []string{
		script("#!/bin/sh\necho lunserve v2\n", 0o755),
		script("#!/bin/sh\necho lunserve v2; echo hand-over 99\n", 0o755),
		script("#!/bin/sh\necho lunserve v2; echo '"+schemaLine+"'; exit 1\n", 0o755),
		script("#!/bin/sh\nkill -9 $$\n", 0o755),
		script("nothing", 0o755),
		script("#!/bin/sh\n", 0o644),
		t.TempDir(),
		"/nowhere",
	} {
		if version, err := tryProgram(t.Context(), bad, nil); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("the version is %q, %v", version, err)
		}
	}
}
