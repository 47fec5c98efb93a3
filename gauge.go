package main

import (
	"github.com/lunserve/lunserve/serve/control"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A gauge measures disks together, from one reading to the next. As long as
// there is one, commands are timed.
type gauge struct {
	disks        []*export
	at           time.Time
	done         scsi.Stats
	took         []tcmu.Latencies // of each disk
	hits, misses uint64
}

// newGauge starts to measure. It is to be closed.
func newGauge(disks ...*export) *gauge {
	g := &gauge{disks: disks, took: make([]tcmu.Latencies, len(disks))}
	for _, x := range disks {
		x.watch.want(+1)
	}
	g.read()
	return g
}

func (g *gauge) close() {
	for _, x := range g.disks {
		x.watch.want(-1)
	}
}

// read is what was done since the last reading.
func (g *gauge) read() (r control.Rates) {
	last := *g
	g.at, g.done, g.hits, g.misses = time.Now(), scsi.Stats{}, 0, 0
	var took tcmu.Latencies
	for i, x := range g.disks {
		g.done = g.done.Plus(x.disk.Stats())
		hits, misses := backstores.Hits(x.image)
		g.hits, g.misses = g.hits+hits, g.misses+misses
		now := x.watch.meter.Read()
		took = took.Plus(now.Since(g.took[i]))
		g.took[i] = now
	}
	seconds := max(g.at.Sub(last.at).Seconds(), 1e-9)
	per := func(now, before uint64) float64 { return float64(now-before) / seconds }
	r.Reads, r.ReadBytes = per(g.done.Reads, last.done.Reads), per(g.done.ReadBytes, last.done.ReadBytes)
	r.Writes, r.WrittenBytes = per(g.done.Writes, last.done.Writes), per(g.done.WrittenBytes, last.done.WrittenBytes)
	r.Depth = took.Sum.Seconds() / seconds
	r.P50, r.P99 = micros(took.Percentile(50)), micros(took.Percentile(99))
	if hits, misses := g.hits-last.hits, g.misses-last.misses; hits+misses > 0 {
		part := float64(hits) / float64(hits+misses)
		r.Hits = &part
	}
	return r
}

// gauges measure disks one by one.
type gauges []*gauge

// newGauges starts to measure. They are to be closed.
func newGauges(disks []*export) (all gauges) {
	for _, x := range disks {
		all = append(all, newGauge(x))
	}
	return all
}

func (all gauges) close() {
	for _, g := range all {
		g.close()
	}
}

// into puts what each disk did since the last reading into its state. The
// states are in the order of the disks.
func (all gauges) into(states []control.Disk) {
	for i, g := range all {
		r := g.read()
		states[i].Rates = &r
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
