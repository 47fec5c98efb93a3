package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Flags that documents name and other programs have.
var others = map[string][]string{
	"../README.md":      {"--no-asyncio"},                                // of zstd
	"../man/lunserve.8": {"--op", "--login", "--now", "--preempt-abort"}, // of iscsiadm, systemctl and sg_persist
}

// TestDocumentsAndFlagsAreInStep finds no flag in a document that does not
// exist, and in the manual every flag that does. Help and completions are made
// from the grammar, which other tests see to.
func TestDocumentsAndFlagsAreInStep(t *testing.T) {
	var all []string
	err := kong.Visit(model(t), func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok && !f.Hidden {
			all = append(all, "--"+f.Name)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile(`(?:^|[^\w-])(--[a-z][a-z-]*[a-z])`)
	for _, name := range []string{"../README.md", "../CHANGELOG.md", "../man/lunserve.8"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("Fl Fl ", "--", `\-`, "-").Replace(string(b))
		var named []string
		for _, match := range flag.FindAllStringSubmatch(text, -1) {
			named = append(named, match[1])
		}
		for _, f := range named {
			if !slices.Contains(all, f) && !slices.Contains(others[name], f) {
				t.Errorf("%s names %s, which does not exist", name, f)
			}
		}
		if strings.HasSuffix(name, ".md") {
			continue
		}
		for _, f := range all {
			// Help and version need not be told of.
			if !slices.Contains(named, f) && f != "--help" && f != "--version" {
				t.Errorf("%s does not name %s", name, f)
			}
		}
	}
}
