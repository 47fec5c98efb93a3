package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/confine"
	"github.com/lunserve/lunserve/serve/guard"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A handOver is what a program passes to the one that it executes for an upgrade: JSON
// in a memfd, and the descriptors that it names, which stay open.
//
// What can be found by other means is not in it: arguments and environment stay,
// and configfs has the rest. Ring, image and overlay are never opened again: the
// kernel opens a ring once, locks belong to the open file, and a path may lead to
// another file by now.
//
// The old program asks the new one for its schema first (see Schema), and keeps
// serving if that is another one: then nothing has been given up yet.
type handOver struct {
	Schema   int
	Version  string            // of the new program, as it says
	Dir      string            // the working directory at the start
	Parent   int               // the parent process at the start
	Hangup   bool              // see hangup
	Started  time.Time         // when the disks became usable
	Stopped  time.Time         // when the last commands were completed
	Signals  int               // see heldSignals
	Control  int               // the control socket, or -1
	Trace    int               // the file of the trace, or -1
	Guard    *guard.Handed     `json:",omitempty"`
	Confined confine.State     // what this process has given up, for good
	Command  int               // the process of --run, or 0
	CHAP     *configfs.CHAP    `json:",omitempty"` // its file may have been a pipe
	Seed     uint64            `json:",omitempty"` // of faults
	Disks    []*handedOverDisk // by LUN
}

// A handedOverDisk is a disk in a handOver.
type handedOverDisk struct {
	Name    string // as configfs.Export has it
	Ring    int    // descriptors
	Image   int
	Overlay int   // -1 without one
	Size    int64 // of the image in bytes, which may have grown since
	State   scsi.State
	Faults  []string `json:",omitempty"` // rules, see fault.Set.Rest
}

const (
	handOverSchema = 2
	maxHandOver    = 16 << 20 // bytes

	handOverVar = "LUNSERVE_HANDOVER"   // gives a program the descriptor of the memfd
	schemaVar   = "LUNSERVE_ASK_SCHEMA" // makes --version print Schema
)

// Schema returns a line that --version prints for a lunserve that is about to
// execute this program, and otherwise nothing.
func Schema() string {
	if os.Getenv(schemaVar) == "" {
		return ""
	}
	return "\n" + schemaLine
}

var schemaLine = fmt.Sprint("hand-over ", handOverSchema)

// decodeHandOver is the inverse of encode. The text may be anything.
func decodeHandOver(text []byte) (*handOver, error) {
	h := new(handOver)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows")
	}
	return h, h.check()
}

// check returns an error if a value cannot be one of an encode.
func (h *handOver) check() error {
	if h.Schema != handOverSchema {
		return fmt.Errorf("schema %d, not %d", h.Schema, handOverSchema)
	}
	children := []int{h.Command}
	if h.Guard != nil {
		if h.Guard.PID == 0 || h.Guard.FD < 0 {
			return errors.New("the guard is not complete")
		}
		children = append(children, h.Guard.PID, h.Guard.Spare)
	}
	for _, pid := range children { // 0: none
		if pid < 0 || pid == 1 {
			return errors.New("a process that cannot be a child")
		}
	}
	if len(h.Disks) == 0 || slices.Contains(h.Disks, nil) {
		return errors.New("a disk is missing")
	}
	for _, d := range h.Disks {
		if d.Size <= 0 || d.Ring < 0 || d.Image < 0 {
			return fmt.Errorf("disk %q is not complete", d.Name)
		}
	}
	fds := h.descriptors()
	slices.Sort(fds)
	if fds[0] < 3 || len(slices.Compact(fds)) < len(fds) {
		return errors.New("descriptors that cannot be")
	}
	return nil
}

// descriptors returns those that are handed over.
func (h *handOver) descriptors() (fds []int) {
	fds = []int{h.Signals, h.Control, h.Trace}
	if h.Guard != nil {
		fds = append(fds, h.Guard.FD)
	}
	for _, d := range h.Disks {
		fds = append(fds, d.Ring, d.Image, d.Overlay)
	}
	return slices.DeleteFunc(fds, func(fd int) bool { return fd == -1 })
}

// encode returns a memfd that holds h.
func (h *handOver) encode() (fd int, err error) {
	text, err := json.Marshal(h)
	if err == nil {
		err = h.check()
	}
	if err == nil && len(text) > maxHandOver {
		err = fmt.Errorf("%d bytes to hand over, such as rules of faults; at most %d", len(text), maxHandOver)
	}
	if err != nil {
		return -1, err
	}
	if fd, err = newMemfd(); err != nil {
		return -1, err
	}
	for off := 0; off < len(text) && err == nil; {
		var n int
		n, err = unix.Pwrite(fd, text[off:], int64(off))
		off += n
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func newMemfd() (fd int, err error) {
	fd, err = unix.MemfdCreate("lunserve", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("lunserve", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create: %w", err)
	}
	return fd, nil
}
