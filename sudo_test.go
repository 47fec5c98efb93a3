package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A shell sees the same arguments that we did.
func TestCommandLineCanBeTyped(t *testing.T) {
	args := []string{"--run", "mkfs $dev; echo 'it is' \\done", "", "~", "*", "a\nb", "Größe=1%", "#1"}
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+commandLine(args)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, args) {
		t.Errorf("the shell sees %q, want %q", got, args)
	}
	if got, want := commandLine([]string{"lunserve", "-r", "--size=1G", "/srv/a.img"}), "lunserve -r --size=1G /srv/a.img"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
