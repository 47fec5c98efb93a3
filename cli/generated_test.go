package cli

import (
	"flag"
	"io"
	"os"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/completions"
	"github.com/lunserve/lunserve/man"
	"github.com/lunserve/lunserve/serve/console"
)

var update = flag.Bool("update", false, "write the files that are generated from the grammar")

// model returns the model of the command line.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(grammar), options(t.Context(), console.New(io.Discard, "lunserve"))...)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

func TestCompletionsMatchTheGrammar(t *testing.T) {
	for shell, name := range map[string]string{"bash": "lunserve.bash", "zsh": "_lunserve", "fish": "lunserve.fish"} {
		script, err := completions.Script(shell, model(t))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "../completions/"+name, script)
	}
}

func TestManualHasTheFlagsOfTheGrammar(t *testing.T) {
	const name = "../man/lunserve.8"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := man.Fill(string(page), model(t))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	same(t, name, filled)
}

// same compares a file with what it should hold. With -update it writes the file.
func same(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s: not what is generated from the grammar (%v); try go test ./cli -update", name, err)
	}
}
