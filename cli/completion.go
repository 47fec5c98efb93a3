package cli

import (
	"io"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/completions"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash, zsh, fish" help:"The shell: ${enum}."`
}

// Help implements [kong.HelpProvider].
func (*completionCmd) Help() string {
	return `In the current shell only:

    source <(lunserve completion bash)
    source <(lunserve completion zsh)
    lunserve completion fish | source`
}

// Run prints the script.
func (c *completionCmd) Run(k *kong.Context) error {
	script, err := completions.Script(c.Shell, k.Model)
	if err != nil {
		return err
	}
	_, err = io.WriteString(k.Stdout, script)
	return err
}
