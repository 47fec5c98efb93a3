package serve

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/volatile"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// Options say what to serve, and how. The command line has checked them against
// each other.
type Options struct {
	Images     []Image // each is a LUN, in this order
	Open       image.Options
	Size       int64 // create the image with this many bytes if it does not exist; 0: it must exist
	SectorSize int   // bytes in a logical block, 512 or 4096; of a CD-ROM 2048
	Removable  bool
	CDROM      bool // the disks are CD-ROMs; all Images are ReadOnly

	Identity Identity // what initiators find out about the disks

	IgnoreDiscard bool // the disks are fully provisioned
	DetectZeroes  ZeroDetection

	Faults    func() ([]fault.Rule, error) // by which the disks misbehave; nil: none
	FaultSeed uint64                       // of what is random in them; 0: any

	TrackWrites bool // until they are flushed, so that a power cut can take them

	Loopback bool // local disks
	OneQueue bool // of their SCSI host
	ISCSI    *ISCSI
	Vhost    bool

	Userspace bool // ISCSI is served by this process, not by the kernel, and is the only target

	MountDir       string   // where the file system of the only disk is mounted; empty: nowhere
	Command        []string // runs while the disks are served; nil: none
	Fork           bool     // move to the background when the disks are ready
	PIDFile        string
	ExitWithParent bool
	Once           bool // end when the last user has gone
	Restart        bool // if this process is killed, its guard starts another

	Quiet         bool
	JSON          bool          // events on standard output in place of paths
	StatsInterval time.Duration // of stats events; 0: none
	Trace         bool          // a line for each command
	TraceFile     string        // gets the trace; empty: standard error
}

// An Identity says what initiators find out about disks. The texts are ASCII and fit
// their fields; empty, they are those that lunserve chooses. Serial and NAA are for
// one disk.
type Identity struct {
	Vendor, Product, Revision string
	Serial, NAA               string // NAA: 16 or 32 hex digits
	Rotational                bool
	WriteThrough              bool // no volatile write cache
	PhysicalBlock             int  // bytes
}

// ISCSI are the options of the iSCSI target.
type ISCSI struct {
	IQN      string // empty: derived from the image
	Portals  []netip.AddrPort
	CHAPFile string   // empty: no authentication. It may be a pipe, so only the process that serves reads it.
	Allow    []string // initiator names; empty: all
}

// ZeroDetection says how blocks of zeros in writes are stored.
type ZeroDetection int

const (
	WriteZeros ZeroDetection = iota // stored like other data
	ZeroBlocks                      // stored as zeros that keep their space
	UnmapZeros                      // unmapped
)

// kind is the word for the kind of disks in their contents, or empty.
func (o *Options) kind() string {
	switch {
	case o.CDROM:
		return "cdrom"
	case o.Removable:
		return "removable"
	}
	return ""
}

// readOnly reports whether no disk can be written.
func (o *Options) readOnly() bool {
	return !slices.ContainsFunc(o.Images, func(i Image) bool { return !i.ReadOnly })
}

// forRemoval returns the options that matter when disks are adopted to be removed.
func (o Options) forRemoval() Options {
	o.Command, o.Trace, o.JSON, o.ExitWithParent, o.Quiet, o.Faults, o.TrackWrites = nil, false, false, false, true, nil, false
	return o
}

// canRestart returns an error if the disk of an image cannot survive the server.
func (o *Options) canRestart(img *openedImage) error {
	if o.Restart && img.writes == control.Temporary {
		return fmt.Errorf("%s: its temporary writes would be lost; leave out --restart, or give --overlay FILE or --read-only", img.path)
	}
	return nil
}

// caches returns how much memory the caches of a disk need, in bytes.
func (o *Options) caches() int64 {
	n := o.Open.CacheSize
	if o.TrackWrites {
		n += 2 * volatile.Capacity // each page may be held for some time after it is flushed
	}
	return n
}
