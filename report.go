package main

import (
	"time"
)

// reportFlags say how much is told, to whom and how often.
type reportFlags struct {
	Quiet    bool          `short:"q" common:"" help:"Say nothing on standard error but warnings and errors."`
	JSON     bool          `help:"Print an object a line on standard output when the disks can be used, at each warning, and at the end."`
	Interval time.Duration `name:"stats-interval" placeholder:"TIME" help:"With --json, print what the disks do that often, such as 10s."`
	Trace    traceFlag     `common:"" placeholder:"FILE" complete:"file" help:"Write a line for each SCSI command to standard error. With --trace=FILE they go to FILE."`
}

// start starts to tell of the service, until down is run. It is to be undone
// before the service is.
func (f *reportFlags) start(s *service, down *undo) {
	if con.StatusWidth() > 0 && !f.Quiet && s.child == nil && !f.Trace.On {
		g := newGauge(s.exports...)
		down.push(func() error { g.close(); con.SetStatus(""); return nil })
		every(time.Second, down, func() {
			if width := con.StatusWidth(); width > 0 { // it may have hung up
				con.SetStatus(statusLine(s.title(), g.read(), width))
			}
		})
	}
	if f.Interval > 0 {
		all := newGauges(s.exports)
		down.push(func() error { all.close(); return nil })
		every(f.Interval, down, func() {
			states := s.states()
			all.into(states)
			_ = events.emit(event{Event: "stats", Disks: states}) // that nobody reads it shows at the end
		})
	}
}

// every calls f again and again until down is run.
func every(d time.Duration, down *undo, f func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-stop:
				return
			}
		}
	}()
	down.push(func() error {
		close(stop)
		<-done
		return nil
	})
}
