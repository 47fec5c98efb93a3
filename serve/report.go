package serve

import (
	"time"

	"github.com/lunserve/lunserve/configfs"
)

// startReports keeps the status line and the stats events up to date, until
// s.reports is closed.
func (s *service) startReports() {
	o, down := &s.options, &s.reports
	if s.console.StatusWidth() > 0 && !o.Quiet && s.command == nil && !o.Trace {
		m := measure(s.disks...)
		down.Push(func() error {
			m.stop()
			s.console.SetStatus("")
			return nil
		})
		every(time.Second, down, func() {
			if width := s.console.StatusWidth(); width > 0 { // the terminal may have hung up
				s.console.SetStatus(statusLine(s.title(), m.read(), width))
			}
		})
	}
	if o.StatsInterval > 0 {
		each := measureEach(s.disks)
		down.Push(func() error {
			each.stop()
			return nil
		})
		every(o.StatsInterval, down, func() {
			disks := s.states()
			each.into(disks)
			_ = s.events.emit(Event{Event: "stats", Disks: disks}) // an error shows again at the end
		})
	}
}

// every calls f periodically until down is run.
func every(period time.Duration, down *configfs.Undo, f func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(period)
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
	down.Push(func() error {
		close(stop)
		<-done
		return nil
	})
}
