package main

import (
	"context"

	"github.com/lunserve/lunserve/backstores/image"
)

type commitCmd struct {
	Overlay string `arg:"" complete:"file" help:"The overlay, which is removed when all of it is in its base."`
	Output  string `short:"o" placeholder:"OUT" complete:"file" help:"Make this raw image of base and overlay, and change neither."`
	Force   bool   `short:"f" help:"Replace OUT if it exists."`
	Base    string `placeholder:"IMAGE" complete:"image" help:"Where the base is, if it was moved since the overlay was made."`

	readFlags `embed:""`
}

// Run merges. What is interrupted goes on when the same command is given again.
func (c *commitCmd) Run(ctx context.Context) error {
	b := newBar()
	defer b.clear()
	m := image.Merge{Base: c.Base, Options: c.options(b)}
	if c.Output != "" {
		if err := m.Export(ctx, c.Overlay, c.Output, c.Force); err != nil {
			return err
		}
		b.clear()
		say("%s: holds what was in %s and its base, which are as they were", c.Output, c.Overlay)
		return nil
	}
	if err := m.Commit(ctx, c.Overlay); err != nil {
		return err
	}
	b.clear()
	say("%s: is in its base and removed", c.Overlay)
	return nil
}
