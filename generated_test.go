package main

import (
	"flag"
	"os"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/completions"
	"github.com/lunserve/lunserve/man"
)

var update = flag.Bool("update", false, "write the files that are made from the grammar")

// grammar is the model of the command line.
func grammar(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(cli), options(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestFilesAreThoseOfTheGrammar compares what is committed with what would be
// made now.
func TestFilesAreThoseOfTheGrammar(t *testing.T) {
	for shell, name := range map[string]string{"bash": "lunserve.bash", "zsh": "_lunserve", "fish": "lunserve.fish"} {
		script, err := completions.Script(shell, grammar(t))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "completions/"+name, script)
	}
}

func TestManualHasTheFlagsOfTheGrammar(t *testing.T) {
	const name = "man/lunserve.8"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := man.Fill(string(page), grammar(t))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	same(t, name, filled)
}

// same compares a file with what it should hold, which -update makes it hold.
func same(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s: not what the grammar makes it (%v); try go test -update .", name, err)
	}
}
