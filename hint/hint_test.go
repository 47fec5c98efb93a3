package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestTextNamesWhatToType(t *testing.T) {
	exists := Try(fmt.Errorf("a b.img: %w", fs.ErrExist), "lunserve", "a b.img")
	log := With(errors.New("no ring"), Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}})
	copied := With(errors.New("is a pipe"),
		Command{Words: []string{"cat", "p"}, Output: "new disk.img"},
		Command{Words: []string{"--size", "10G"}, Purpose: "to make one"})
	near := With(fs.ErrNotExist, Command{Words: []string{"./-a b.img"}, Instead: "-a.img"}, Command{Words: []string{"a.img"}, Instead: "-a.img"})
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{near, "file does not exist; did you mean './-a b.img', or a.img?"},
		{exists, "a b.img: file already exists; try lunserve 'a b.img'"},
		{log, "no ring; try dmesg | tail"},
		{copied, "is a pipe; try cat p >'new disk.img', or --size 10G to make one"},
		{errors.Join(log, errors.New("b"), exists), "no ring; try dmesg | tail; also b; also a b.img: file already exists; try lunserve 'a b.img'"},
		{fmt.Errorf("start: %w", log), "start: no ring; try dmesg | tail"},
		{fmt.Errorf("start: %w", errors.Join(log, errors.New("b"))), "start: no ring; also b; try dmesg | tail"},
		{fmt.Errorf("start: %w", errors.Join(fmt.Errorf("a\nb: %w", errors.Join(log, log)), fs.ErrExist)), "start: a\nb: no ring; also no ring; also file already exists; try dmesg | tail, or dmesg | tail"},
		{Try(errors.New("a\nb: exists"), "ls", "a\nb"), "a\nb: exists; try ls $'a\\012b'"},
		{fmt.Errorf("%w and %w", log, exists), "no ring and a b.img: file already exists; try dmesg | tail, or lunserve 'a b.img'"},
	} {
		if got := Text(tt.err); got != tt.want {
			t.Errorf("\n got %s\nwant %s", got, tt.want)
		}
	}
}

func TestHintIsInvisibleToTheError(t *testing.T) {
	err := Try(fs.ErrExist, "ls")
	if !errors.Is(err, fs.ErrExist) || err.Error() != fs.ErrExist.Error() {
		t.Errorf("%v is not the error that was given", err)
	}
	if With(nil, Command{Words: []string{"ls"}}) != nil || With(fs.ErrExist) != fs.ErrExist {
		t.Error("a hint without an error or without a command is something")
	}
}

// A shell sees the same words that were quoted, and the line can be printed.
func TestQuotedWordsCanBeTyped(t *testing.T) {
	plain := []string{"--run", "mkfs $dev; echo 'it is' \\done", "", "~", "*", "Größe=1%", "#1", "=ls", "`id`", "$(id)", "a!b"}
	foreign := []string{"a\nb", "p\xe9", "\x1b[2J\r'\\1!x\a", "gmi.\u202e1ksid", "\u009b1m\x7f7", "\n", "-\tGröße\u00a0"}
	line := Quote(append(plain, foreign...)...)
	if Visible(line) != line {
		t.Errorf("%q is not visible", line)
	}
	for shell, words := range map[string][]string{"sh": plain, "bash": append(plain, foreign...), "zsh": append(plain, foreign...)} {
		if _, err := exec.LookPath(shell); err != nil && os.Getenv("CI") == "" {
			continue
		}
		out, err := exec.Command(shell, "-c", `printf '%s\0' `+Quote(words...)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, words) {
			t.Errorf("%s sees %q, want %q", shell, got, words)
		}
	}
	if got, want := Quote("lunserve", "-r", "--size=1G", "/srv/a.img"), "lunserve -r --size=1G /srv/a.img"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
