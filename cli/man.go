package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/man"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
)

type manCmd struct{}

// Help implements [kong.HelpProvider].
func (*manCmd) Help() string {
	return "On a terminal man(1) shows the page. Elsewhere its source is printed, as for a file lunserve.8."
}

// Run has man(1) show the page or, if standard output is no terminal, prints it.
func (*manCmd) Run(k *kong.Context) error {
	if console.Columns(os.Stdout) == 0 {
		_, err := io.WriteString(k.Stdout, man.Page)
		return err
	}
	path, err := exec.LookPath("man")
	if err != nil {
		return hint.With(errors.New("no man(1) here to show the page"),
			hint.Command{Words: []string{"lunserve", "serve", "--help"}, Purpose: "for all flags"},
			hint.Command{Words: []string{"lunserve", "man"}, Output: hint.Free("lunserve.8"), Purpose: "for its source"})
	}
	cmd := exec.Command(path, "-l", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(man.Page), os.Stdout, os.Stderr
	// ^C is for the pager, which is in the foreground as well. Not ignored: man would inherit
	// that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGQUIT)
	err = cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws := e.Sys().(syscall.WaitStatus); ws.Signaled() { // as by ^C, if the pager does not keep it
			return serve.ExitStatus(128 + ws.Signal())
		}
		return serve.ExitStatus(e.ExitCode()) // man has said why
	}
	return err
}
