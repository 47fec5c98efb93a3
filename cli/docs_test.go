package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// documents are those that name flags.
var documents = []string{
	"../README.md", "../ARCHITECTURE.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md",
	"../docs/compared.md", "../docs/limits.md", "../docs/performance.md", "../docs/recipes.md", "../docs/tour.md", "../man/lunserve.8",
}

// others are flags of other programs, by document.
var others = map[string][]string{
	"../README.md":           {"--show", "--ignore-missing"}, // of losetup and sha256sum
	"../docs/compared.md":    {"--filter", "--show"},         // of nbdkit and losetup
	"../docs/recipes.md":     {"--qemu-opts", "--login", "--logout", "--now", "--enabled"},
	"../docs/performance.md": {"--no-asyncio"},                                // of zstd
	"../man/lunserve.8":      {"--op", "--login", "--now", "--preempt-abort"}, // of iscsiadm, systemctl and sg_persist
}

// Help and completions are generated from the grammar, which other tests check.
func TestDocumentsNameOnlyFlagsThatExistAndTheManualNamesAll(t *testing.T) {
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
	flag := regexp.MustCompile(`(?:^|[^\w-])(--[a-z][a-z0-9-]*[a-z])`)
	for _, name := range documents {
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
			// The manual does not describe help and version.
			if !slices.Contains(named, f) && f != "--help" && f != "--version" {
				t.Errorf("%s does not name %s", name, f)
			}
		}
	}
}

// What the manual says about security, SECURITY.md says at more length.
func TestSecurityIsTheSameInTheManual(t *testing.T) {
	manual, err := os.ReadFile("../man/lunserve.8")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(manual), ".Sh SECURITY CONSIDERATIONS\n")
	long, err := os.ReadFile("../SECURITY.md")
	if err != nil || !found {
		t.Fatal("no such section", err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\.(?:Fl Fl|Cm) ([a-z\\-]+)`).FindAllStringSubmatch(section, -1) {
		if word := strings.ReplaceAll(m[1], `\`, ""); !strings.Contains(string(long), word) {
			t.Errorf("SECURITY.md does not speak of %s", word)
		}
	}
}

// The tests that the README names as proof exist.
func TestPromisesHaveTheirTests(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(readme), "\n"); lines > 150 {
		t.Errorf("the README has %d lines, more than 150", lines)
	}
	named := regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]+)`").FindAllStringSubmatch(string(readme), -1)
	if len(named) < 5 {
		t.Errorf("only %d tests are named", len(named))
	}
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "../e2e/*_test.go", "../tcmu/scsi/*_test.go", "../backstores/raw/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	for _, m := range named {
		if !strings.Contains(sources.String(), "\nfunc "+m[1]+"(t *testing.T)") {
			t.Errorf("there is no %s", m[1])
		}
	}
}

// Links between the documents lead to files that the archives of deb/dist have too: the
// documents at the root, and the folder docs.
func TestLinksOfDocumentsLeadToFiles(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "../docs/*.md"} {
		found, _ := filepath.Glob(pattern)
		pages = append(pages, found...)
	}
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			link := filepath.Join(filepath.Dir(name), m[1])
			if _, err := os.Stat(link); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if in := filepath.Dir(link); in != "../docs" && (in != ".." || filepath.Ext(link) != ".md") {
				t.Errorf("%s links to %s, which the archives lack", name, m[1])
			}
		}
	}
}
