package cli

import (
	"context"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/serve/console"
)

type commitCmd struct {
	Overlay string `arg:"" complete:"file" help:"The overlay. It is removed when the merge is complete."`
	Output  string `short:"o" placeholder:"OUT" complete:"file" help:"Merge base and overlay into a new raw image OUT, and change neither."`
	Force   bool   `short:"f" help:"Replace OUT if it exists."`
	Base    string `placeholder:"IMAGE" complete:"image" help:"Path of the base. By default it is taken from the overlay, if everyone who can write that can also write the base."`

	imageFlags `embed:""`
}

// Run merges. The same command resumes an interrupted merge.
func (c *commitCmd) Run(ctx context.Context, con *console.Console) error {
	b := con.NewBar()
	defer b.Clear()
	m := image.Merge{Base: c.Base, Options: c.shown(con, b)}
	if c.Output != "" {
		if err := m.Export(ctx, c.Overlay, c.Output, c.Force); err != nil {
			return err
		}
		b.Clear()
		con.Say("%s: merged from %s and its base, both unchanged", c.Output, c.Overlay)
		return nil
	}
	if err := m.Commit(ctx, c.Overlay); err != nil {
		return err
	}
	b.Clear()
	con.Say("%s: merged into its base and removed", c.Overlay)
	return nil
}
