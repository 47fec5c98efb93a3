package serve

import (
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A measurement measures disks together, from one reading to the next. Commands
// are timed as long as there is one.
type measurement struct {
	disks        []*disk
	at           time.Time
	done         scsi.Stats
	took         []tcmu.Latencies // of each disk
	hits, misses uint64
}

// measure starts a measurement. The caller must stop it.
func measure(disks ...*disk) *measurement {
	m := &measurement{disks: disks, took: make([]tcmu.Latencies, len(disks))}
	for _, d := range disks {
		d.watch.want(+1)
	}
	m.read()
	return m
}

func (m *measurement) stop() {
	for _, d := range m.disks {
		d.watch.want(-1)
	}
}

// read returns the rates since the last reading.
func (m *measurement) read() (r control.Rates) {
	last := *m
	m.at, m.done, m.hits, m.misses = time.Now(), scsi.Stats{}, 0, 0
	var took tcmu.Latencies
	for i, d := range m.disks {
		m.done = m.done.Plus(d.device.unit.Stats())
		hits, misses := backstores.Hits(d.image.base)
		m.hits, m.misses = m.hits+hits, m.misses+misses
		now := d.watch.meter.Read()
		took = took.Plus(now.Since(m.took[i]))
		m.took[i] = now
	}
	seconds := max(m.at.Sub(last.at).Seconds(), 1e-9)
	per := func(now, before uint64) float64 { return float64(now-before) / seconds }
	r.Reads, r.ReadBytes = per(m.done.Reads, last.done.Reads), per(m.done.ReadBytes, last.done.ReadBytes)
	r.Writes, r.WrittenBytes = per(m.done.Writes, last.done.Writes), per(m.done.WrittenBytes, last.done.WrittenBytes)
	r.Depth = took.Sum.Seconds() / seconds
	r.P50, r.P99 = micros(took.Percentile(50)), micros(took.Percentile(99))
	r.Latencies = latencies(took)
	if hits, misses := m.hits-last.hits, m.misses-last.misses; hits+misses > 0 {
		share := float64(hits) / float64(hits+misses)
		r.Hits = &share
	}
	return r
}

// latencies returns a histogram from the first power of two with commands to the last.
func latencies(took tcmu.Latencies) (all []control.Latency) {
	below, empty := tcmu.FirstPower, 0
	for _, n := range took.Powers() {
		if n > 0 || len(all) > 0 {
			all = append(all, control.Latency{Below: micros(below), Commands: n})
		}
		if empty++; n > 0 {
			empty = 0
		}
		below *= 2
	}
	return all[:max(len(all)-empty, 0)]
}

// measurements measure disks one by one.
type measurements []*measurement

// measureEach starts a measurement of each disk. The caller must stop them.
func measureEach(disks []*disk) (all measurements) {
	for _, d := range disks {
		all = append(all, measure(d))
	}
	return all
}

func (all measurements) stop() {
	for _, m := range all {
		m.stop()
	}
}

// into sets the rates of disks, which are in the order of the measurements.
func (all measurements) into(disks []control.Disk) {
	for i, m := range all {
		r := m.read()
		disks[i].Rates = &r
	}
}

// A sample is one measurement over a second, for SIGUSR1.
type sample struct {
	m   *measurement     // nil if none is running
	due <-chan time.Time // when it is to be read
}

// start starts the sample unless it is running.
func (s *sample) start(disks []*disk) {
	if s.m == nil {
		s.m, s.due = measure(disks...), time.After(time.Second)
	}
}

// read returns the rates, and stops the sample.
func (s *sample) read() control.Rates {
	r := s.m.read()
	s.stop()
	return r
}

func (s *sample) stop() {
	if s.m != nil {
		s.m.stop()
	}
	*s = sample{}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
