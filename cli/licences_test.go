package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The licences of what is linked require their text to be with the binary.
func TestCopyrightHasTheLicencesOfAllThatIsLinked(t *testing.T) {
	b, err := os.ReadFile("../deb/copyright")
	if err != nil {
		t.Fatal(err)
	}
	ours := oneLine(strings.ReplaceAll(string(b), "\n .\n", "\n\n"))
	for file, parts := range linkedLicences(t, string(b)) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range regexp.MustCompile(`(?m)^-{5,}$`).Split(string(text), -1) {
			if !isLinked(section, parts) {
				continue
			}
			for _, paragraph := range strings.Split(section, "\n\n") {
				for _, part := range copyrightLines(paragraph) {
					if part = oneLine(part); !strings.Contains(ours, part) {
						t.Errorf("deb/copyright lacks this part of %s:\n%s", file, part)
					}
				}
			}
		}
	}
}

// linkedLicences returns the files of licences that are in the folders of linked
// packages and above them, and the packages of each, below the file's folder.
// Each module must have a paragraph of copyright.
func linkedLicences(t *testing.T, copyright string) map[string][]string {
	t.Helper()
	const format = `{{.Dir}} {{with .Module}}{{if not .Main}}{{.Dir}} {{.Path}}{{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", format, module).Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{filepath.Join(strings.TrimSpace(string(root)), "LICENSE"): nil}
	modules := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		modules++
		if !strings.Contains(copyright, "\nFiles: "+f[2]+"/*\n") {
			t.Errorf("deb/copyright has no paragraph for %s", f[2])
		}
		licences := 0
		for dir := f[0]; strings.HasPrefix(dir, f[1]); dir = filepath.Dir(dir) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)`).MatchString(e.Name()) {
					file := filepath.Join(dir, e.Name())
					below, _ := filepath.Rel(dir, f[0])
					found[file] = append(found[file], below)
					licences++
				}
			}
		}
		if licences == 0 {
			t.Errorf("%s has no licence", f[0])
		}
	}
	if modules < 4 {
		t.Fatalf("%d packages of modules are linked", modules)
	}
	return found
}

// isLinked reports whether a section of a licence, which may begin with the
// files that it is for, is for one of the packages.
func isLinked(section string, packages []string) bool {
	files := regexp.MustCompile(`(?m)^Files: (.*)/\*$`).FindAllStringSubmatch(section, -1)
	if files == nil {
		return true
	}
	return slices.ContainsFunc(files, func(m []string) bool {
		return slices.ContainsFunc(packages, func(p string) bool { return p == m[1] || strings.HasPrefix(p, m[1]+"/") })
	})
}

// copyrightLines returns the copyright holders that a paragraph names, without
// the years. If it names none, it returns the paragraph.
func copyrightLines(paragraph string) (all []string) {
	line := regexp.MustCompile(`(?m)^Copyright (?:\([cC]\) +)?[0-9-]+ +(.*?)(?:\. All rights reserved)?\.?$`)
	for _, m := range line.FindAllStringSubmatch(paragraph, -1) {
		all = append(all, m[1])
	}
	paragraph = line.ReplaceAllString(paragraph, "")
	paragraph = regexp.MustCompile(`(?m)^(Files: .*|MIT License|The MIT License.*|The 3-Clause BSD License)$`).ReplaceAllString(paragraph, "")
	return append(all, paragraph)
}

// oneLine is text with one blank between words.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
