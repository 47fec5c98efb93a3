package cli

import (
	"context"
	"io"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/completions"
	"github.com/lunserve/lunserve/serve/console"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: ${enum}."`
}

// Help implements [kong.HelpProvider].
func (*completionCmd) Help() string {
	return `In the current shell only:

    source <(lunserve completion bash)
    source <(lunserve completion zsh)
    lunserve completion fish | source`
}

// Run prints the script.
func (c *completionCmd) Run(ctx context.Context, con *console.Console, k *kong.Context) error {
	whole, err := kong.New(new(grammar), options(ctx, con)...) // k has this subcommand alone
	if err != nil {
		return err
	}
	script, err := completions.Script(c.Shell, whole.Model)
	if err != nil {
		return err
	}
	_, err = io.WriteString(k.Stdout, script)
	return err
}
