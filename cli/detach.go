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

// Run ends the processes that serve the disks, or has them go on with the others, and
// removes disks whose process was killed.
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
	some := make(map[int][]string)  // the names, by process id, if it serves others as well
	whole := make(map[int][]string) // the same if it does not; none: all that it serves by then
	for _, d := range all {
		named := slices.ContainsFunc(found, func(f servedDisk) bool { return f.Name == d.Name })
		if !named && !d.Dead {
			some[d.PID] = []string{}
		}
	}
	for _, d := range found {
		switch {
		case d.Dead:
		case some[d.PID] != nil:
			some[d.PID] = append(some[d.PID], d.Name)
		case !c.All:
			whole[d.PID] = append(whole[d.PID], d.Name)
		}
	}
	ended := make(map[int]bool) // by process id
	var work configfs.Undo      // if one hangs, others do not
	for _, d := range slices.Backward(found) {
		switch {
		case d.Dead:
			work.For(d.Name).Push(func() error { return c.removeDead(con, d) })
		case !ended[d.PID]:
			ended[d.PID] = true
			work.For(d.Name).Push(func() error { return c.end(ctx, con, d, some[d.PID], whole[d.PID]) })
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

// end ends the process that serves a disk, or has it remove some of several. It returns
// when that is done.
func (c *detachCmd) end(ctx context.Context, con *console.Console, d servedDisk, some, whole []string) (err error) {
	client, err := d.dial()
	switch {
	case errors.Is(err, control.ErrNotAnswering):
		return fmt.Errorf("%s: %w", d.Name, err)
	case err != nil:
		return hint.With(err, d.kernel.Kill()...)
	}
	defer client.Close()
	if some != nil {
		err = client.Remove(ctx, some, c.Force)
	} else {
		err = client.Detach(ctx, whole, c.Force, func(command string) {
			con.Say("%s: waiting for %s to exit; --force does not wait", d.Name, command)
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	return nil
}
