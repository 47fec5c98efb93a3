package cli

import (
	"context"
	"github.com/lunserve/lunserve/serve/console"

	"github.com/lunserve/lunserve/backstores"
)

type commitCmd struct {
	Overlay string `arg:"" complete:"file" help:"The overlay. It is removed once all of it is in its base."`
	Output  string `short:"o" placeholder:"OUT" complete:"file" help:"Write base and overlay together to the raw image OUT, and change neither."`
	Force   bool   `short:"f" help:"Replace OUT if it exists."`
	Base    string `placeholder:"IMAGE" complete:"image" help:"Path of the base, if it was moved since the overlay was made."`

	imageFlags `embed:""`
}

// Run merges. What is interrupted goes on when the same command is given again.
func (c *commitCmd) Run(ctx context.Context, con *console.Console) error {
	b := con.NewBar()
	defer b.Clear()
	m := backstores.Merge{Base: c.Base, Options: c.shown(ctx, con, b)}
	if c.Output != "" {
		if err := m.Export(c.Overlay, c.Output, c.Force); err != nil {
			return err
		}
		b.Clear()
		con.Say("%s: holds what was in %s and its base, which are as they were", c.Output, c.Overlay)
		return nil
	}
	if err := m.Commit(c.Overlay); err != nil {
		return err
	}
	b.Clear()
	con.Say("%s: is in its base and removed", c.Overlay)
	return nil
}
