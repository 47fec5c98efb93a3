package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

type statsCmd struct {
	Disks     []string `arg:"" optional:"" name:"disk" complete:"export" help:"Disks, by name (see lunserve list), device or image. Default: all."`
	Histogram bool     `help:"Print a histogram of the latencies of each disk."`
	Interval  interval `short:"i" placeholder:"TIME" help:"Print a table at this interval, such as 5s, until ^C."`
	JSON      bool     `help:"Print a JSON object for each disk, one per line."`
}

// Run measures the disks for a second, or periodically.
func (c *statsCmd) Run(ctx context.Context, con *console.Console, out *console.Printer) error {
	all, found, err := find(con, c.Disks)
	if err != nil {
		return err
	}
	if len(c.Disks) == 0 {
		found = all
	}
	named := len(c.Disks) > 0
	clients := make(map[int]*control.Client)
	for _, k := range found {
		if clients[k.PID] != nil || k.notAnswering && !named {
			continue // servedDisks has warned
		}
		p, err := k.dial()
		switch {
		case k.Dead && named:
			return hint.Try(fmt.Errorf("%s: its lunserve was killed", k.Name), "lunserve", "detach", k.Name)
		case err != nil && named:
			return fmt.Errorf("%s: %w", k.Name, err)
		case err != nil:
			continue // it has ended meanwhile
		}
		defer p.Close()
		clients[k.PID] = p
	}
	var sparks *sparkColumn
	if c.Interval > 0 {
		sparks = newSparkColumn()
	}
	measure(con, clients)
	tick := time.NewTicker(cmp.Or(time.Duration(c.Interval), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		states := measure(con, clients)
		if err := c.print(out, found, states, sparks); err != nil || c.Interval == 0 || len(clients) == 0 {
			return err
		}
	}
}

// measure returns what all disks did since the last call, by name. It removes
// clients that do not answer. Their processes have ended or are stopped; it
// warns about those that are stopped.
func measure(con *console.Console, clients map[int]*control.Client) map[string]control.Disk {
	all := make(map[string]control.Disk)
	for pid, p := range clients {
		disks, err := p.Measure()
		if err != nil {
			if errors.Is(err, control.ErrNotAnswering) {
				con.Warn(err)
			}
			delete(clients, pid)
			continue
		}
		for _, s := range disks {
			all[s.Name] = s
		}
	}
	return all
}

func (c *statsCmd) print(out *console.Printer, disks []servedDisk, states map[string]control.Disk, sparks *sparkColumn) error {
	rows := [][]string{statsHead(sparks)}
	for _, k := range disks {
		s, ok := states[k.Name]
		if !ok {
			continue // its lunserve is dead
		}
		if c.JSON {
			if err := out.JSON(s); err != nil {
				return err
			}
			continue
		}
		if c.Histogram {
			if err := out.Lines(histogram(&s)...); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, statsRow(&s, sparks))
	}
	if c.JSON || c.Histogram {
		return nil
	}
	lines, err := console.Table(rows, 1, tabwriter.AlignRight)
	if err != nil {
		return err
	}
	return out.Lines(lines...)
}

// statsHead is the first row of the table, with a column of sparks unless that is nil.
func statsHead(sparks *sparkColumn) []string {
	row := []string{"READS/s", "READ/s", "WRITES/s", "WRITTEN/s", "DEPTH", "P50", "P99", "CACHE"}
	if sparks != nil {
		row = append(row, "RECENT")
	}
	return append(row, " NAME")
}

// statsRow is the row of a disk.
func statsRow(s *control.Disk, sparks *sparkColumn) []string {
	r := s.Rates
	hits := "-"
	if r.Hits != nil {
		hits = fmt.Sprintf("%.0f%%", 100**r.Hits)
	}
	row := []string{console.Count(r.Reads), humanize.IBytes(uint64(r.ReadBytes)), console.Count(r.Writes),
		humanize.IBytes(uint64(r.WrittenBytes)), console.Depth(r.Depth), latency(r.P50), latency(r.P99), hits}
	if sparks != nil {
		row = append(row, sparks.next(s.Name, r.Reads+r.Writes))
	}
	return append(row, " "+s.Name)
}

// latency is a latency in microseconds, unless there were no commands.
func latency(micros float64) string {
	if micros == 0 {
		return "-"
	}
	return console.Micros(micros)
}
