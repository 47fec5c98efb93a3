package control

import (
	"time"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// A Disk is a served disk as other programs see it: in replies, in the events of
// --json, in list --json and stats --json. Sizes are bytes.
type Disk struct {
	Name      string       `json:"name"` // unique on this machine
	Image     string       `json:"image"`
	Part      string       `json:"part,omitempty"` // of the image, if it is not served as a whole
	Format    string       `json:"format,omitempty"`
	Writes    Writes       `json:"writes,omitempty"`
	Overlay   string       `json:"overlay,omitempty"` // the file of --overlay
	Size      int64        `json:"size"`
	BlockSize int          `json:"block_size,omitempty"`
	Device    string       `json:"device,omitempty"`
	Mounted   string       `json:"mounted,omitempty"` // where its lunserve has mounted it
	URI       string       `json:"uri,omitempty"`
	WWPN      string       `json:"wwpn,omitempty"`
	PID       int          `json:"pid"`
	Direct    bool         `json:"userspace,omitempty"` // served without the kernel
	Started   time.Time    `json:"started,omitzero"`    // when it became usable
	Dead      bool         `json:"dead,omitempty"`      // its lunserve was killed
	Confined  []string     `json:"confined,omitempty"`  // what confines its lunserve
	Users     []inuse.User `json:"users,omitempty"`
	Done      Stats        `json:"done"` // since Started
	Rates     *Rates       `json:"rates,omitempty"`
	Faults    []Fault      `json:"faults,omitempty"`
	FaultSeed uint64       `json:"fault_seed,omitempty"` // of what is random in Faults
	Outage    *Outage      `json:"outage,omitempty"`     // while its power is cut
}

// An Outage is a power cut.
type Outage struct {
	Lost int64  `json:"lost"`           // bytes that were written and not flushed
	Seed uint64 `json:"seed,omitempty"` // by which a part of them was chosen
}

// A Fault is a rule by which a disk misbehaves.
type Fault struct {
	Rule  string `json:"rule"`
	Fired uint64 `json:"fired"` // commands that it has changed
}

// Writes is where the data of WRITE commands goes.
type Writes string

const (
	InPlace   Writes = "writable"  // to the image
	Temporary Writes = "temporary" // to a temporary file that is dropped at exit
	Overlay   Writes = "overlay"   // to the file of --overlay
	Refused   Writes = "read-only" // nowhere
)

// Stats counts the commands of a disk that succeeded. It has the fields of
// scsi.Stats.
type Stats struct {
	Reads        uint64 `json:"reads"`
	ReadBytes    uint64 `json:"read_bytes"`
	Writes       uint64 `json:"writes"`
	WrittenBytes uint64 `json:"written_bytes"`
	Flushes      uint64 `json:"flushes"`
	Trims        uint64 `json:"trims"`
}

// Rates are per second, measured between two readings.
type Rates struct {
	Reads        float64   `json:"reads"`
	Writes       float64   `json:"writes"`
	ReadBytes    float64   `json:"read_bytes"`
	WrittenBytes float64   `json:"written_bytes"`
	Depth        float64   `json:"depth"`  // commands in execution on average, by Little's law
	P50          float64   `json:"p50_us"` // latency from the ring to completion, in microseconds
	P99          float64   `json:"p99_us"`
	Latencies    []Latency `json:"latencies,omitempty"`
	Hits         *float64  `json:"cache_hits,omitempty"` // share of reads found decompressed, 0 to 1; nil if no compressed data was read
}

// A Latency counts the commands that took at least half of a time, and less than all of
// it.
type Latency struct {
	Below    float64 `json:"below_us"` // microseconds
	Commands uint64  `json:"commands"`
}
