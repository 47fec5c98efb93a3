package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

type detachCmd struct {
	Disks []string `arg:"" optional:"" unless:"all" name:"disk" complete:"export" help:"Disks, by name (see lunserve list), device or image."`
	All   bool     `help:"Remove all disks of this user."`
	Force bool     `short:"f" help:"Remove disks even if they are in use."`
}

// Run ends the processes that serve the disks, and removes disks whose process
// was killed. All disks of a process are removed, or none.
func (c *detachCmd) Run(ctx context.Context, con *console.Console) error {
	if c.All && len(c.Disks) > 0 {
		return misuse("--all removes all disks; leave it out, or leave out their names")
	}
	all, found, err := find(con, c.Disks)
	if err != nil {
		return err
	}
	if c.All {
		found = all
	}
	named := func(name string) bool {
		return slices.ContainsFunc(found, func(d servedDisk) bool { return d.Name == name })
	}
	ended := make(map[int]bool) // by process id
	for _, d := range found {
		together := []string{"lunserve", "detach"}
		for _, other := range all {
			if other.PID == d.PID && !d.Dead {
				together = append(together, other.Name)
			}
		}
		if i := slices.IndexFunc(together[2:], func(name string) bool { return !named(name) }); i >= 0 && !d.Dead {
			return hint.With(fmt.Errorf("%s: is served by the same lunserve as %s", d.Name, together[2+i]),
				hint.Command{Words: together, Purpose: "to remove all of them"})
		}
	}
	var work configfs.Undo // if one hangs, others do not
	for _, d := range slices.Backward(found) {
		switch {
		case d.Dead:
			work.For(d.Name).Push(func() error { return c.removeDead(con, d) })
		case !ended[d.PID]:
			ended[d.PID] = true
			work.For(d.Name).Push(func() error { return c.end(ctx, con, d) })
		}
	}
	return serve.Removing(con, work.Close)
}

// removeDead removes a disk whose process was killed.
func (c *detachCmd) removeDead(con *console.Console, d servedDisk) error {
	if len(d.Users) == 0 && !c.Force {
		d.Users = serve.KernelUser(d.Device)
	}
	if len(d.Users) > 0 && !c.Force {
		return hint.With(fmt.Errorf("%s: %s, and its lunserve was killed", d.Name, strings.Join(d.Sentences(), ", ")),
			hint.Command{Words: []string{"--force"}, Purpose: "to remove it anyway"})
	}
	if err := d.kernel.Remove(); err != nil {
		return err
	}
	_ = control.RemoveStale(d.PID)
	con.Say("%s: removed; its lunserve had been killed", d.Name)
	return nil
}

// end ends the process that serves a disk, and returns when it has ended.
func (c *detachCmd) end(ctx context.Context, con *console.Console, d servedDisk) (err error) {
	client, err := d.dial()
	switch {
	case errors.Is(err, control.ErrNotAnswering):
		return fmt.Errorf("%s: %w", d.Name, err)
	case err != nil:
		return hint.With(err, d.kernel.Kill()...)
	}
	defer client.Close()
	err = client.Detach(ctx, c.Force, func(command string) {
		con.Say("%s: waiting for %s to exit; --force does not wait", d.Name, command)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	return nil
}
