package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

type detachCmd struct {
	Disks []string `arg:"" name:"disk" complete:"export" help:"Names that lunserve list shows, devices or images."`
	Force bool     `short:"f" help:"Take away disks in use, too."`
}

// Run ends the lunserves that serve the disks, and takes down what dead ones
// left. All disks of a lunserve go, or none.
func (c *detachCmd) Run(ctx context.Context) error {
	all, found, err := find(c.Disks)
	if err != nil {
		return err
	}
	named := func(k known) bool {
		return slices.ContainsFunc(found, func(f known) bool { return f.Name == k.Name })
	}
	var ends []known // a disk of each process, and all dead ones
	ended := make(map[string]bool)
	for _, k := range found {
		what := k.Name
		if !k.Dead {
			what = fmt.Sprint(k.PID)
		}
		if !ended[what] {
			ended[what] = true
			ends = append(ends, k)
		}
		for _, other := range all {
			if other.PID == k.PID && !k.Dead && !named(other) {
				return fmt.Errorf("%s: is served by the same lunserve as %s; try lunserve detach %s", k.Name, other.Name, together(all, k.PID))
			}
		}
	}
	var errs []error
	for _, k := range ends {
		errs = append(errs, c.end(ctx, k))
	}
	return errors.Join(errs...)
}

// together are the names of all disks of a process.
func together(all []known, pid int) string {
	var names []string
	for _, k := range all {
		if k.PID == pid {
			names = append(names, k.Name)
		}
	}
	return strings.Join(names, " ")
}

// end has the lunserve of a disk end, and waits for that.
func (c *detachCmd) end(ctx context.Context, k known) (err error) {
	if k.Dead {
		if len(k.Users) > 0 && !c.Force {
			return fmt.Errorf("%s: %s; try --force, since its lunserve was killed and nobody answers", k.Name, strings.Join(k.Users, ", "))
		}
		if err := insist(nil, k.kernel.Remove); err != nil {
			return err
		}
		if p, err := dial(k.PID); err == nil {
			p.close() // of another lunserve, with the same process id
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(socket(k.PID)) // of nobody
		}
		con.Say("%s: what a killed lunserve left of it is gone", k.Name)
		return nil
	}
	p, err := k.dial()
	if _, ok := errors.AsType[silent](err); ok {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	if err != nil {
		return fmt.Errorf("%w; try kill %d", err, k.PID)
	}
	defer p.close()
	var down undo
	defer func() { err = errors.Join(err, down.run()) }()
	ended, err := processEnd(k.PID, &down)
	if err != nil {
		return err
	}
	answer, err := p.ask(request{Do: "detach", Force: c.Force})
	if answer.Error != "" {
		return fmt.Errorf("%s: %w; try --force to take it away all the same", k.Name, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	if answer.Waits != "" {
		con.Say("%s: waits for %s, which was asked to end; --force does not wait", k.Name, answer.Waits)
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: interrupted; its lunserve, process id %d, is still ending", k.Name, k.PID)
	}
}
