package completions_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shell says how to start a shell, and how to make it pass all candidates at the
// end of a line to a fake lunserve.
type shell struct {
	command []string
	prompt  string // with the number of the line
	setup   []string
	ask     func(line string) (keys string)
	// whole: only the candidates are passed, without what was typed before.
	whole bool
}

// bashCompletion is a part of the package bash-completion, without which bash has
// none of the functions that ours calls.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

var shells = map[string]shell{
	"bash": {
		command: []string{"bash", "--noprofile", "--norc", "-i"},
		prompt:  `ready:\#> `,
		setup:   []string{"source " + bashCompletion, "source $SCRIPTS/lunserve.bash"},
		ask:     func(line string) string { return line + "\x1b*\n" }, // insert-completions
	},
	"zsh": {
		command: []string{"zsh", "-f", "-i"},
		prompt:  "ready:%h> ",
		setup: []string{
			"fpath=($SCRIPTS $fpath)", "autoload -Uz compinit", "compinit -u -D", "unsetopt prompt_sp",
			"zstyle ':completion:*' completer _all_matches _complete", "zstyle ':completion:*' insert true",
		},
		ask: func(line string) string { return line + "\t\n" },
	},
	"fish": {
		command: []string{"fish", "--no-config", "-i", "-C", `
			set -g n 1
			function counting --on-event fish_postexec
				set n (math $n + 1)
			end
			function fish_prompt
				echo -n "ready:$n> "
			end`},
		setup: []string{"source $SCRIPTS/lunserve.fish"},
		ask:   func(line string) string { return "lunserve (complete -C '" + line + "' | string split -f 1 \\t)\n" },
		whole: true,
	},
}

// files are in the shells' working directory.
var files = []string{
	"disk.img",
	"images/a.img", "images/b.IMG", "images/c.img.zst", "images/d.raw", "images/notes.txt", "images/more/e.img",
	"texts/a.txt", "texts/b",
}

// standIn is the fake lunserve. It writes its arguments to $TOLD, or lists names.
const standIn = `#!/bin/sh
if [ "$*" = 'list --names' ]; then
	cat "$NAMES"
else
	printf '%s\n' "$@" . >"$TOLD"
fi
`

// A line is the start of a command line, and the candidates at its end: in any
// order, and without the / after a folder.
type line struct {
	line string
	want string
	fish string // if it differs: fish offers unlikely files as well, after the others
}

var lines = []line{
	{line: "lunserve ", want: "commit completion detach disk.img doctor fault images info list man pack plot powercut resize serve stats texts unpack"},
	{line: "lunserve --siz", want: "--size --sizelimit"},
	{line: "lunserve --sector-size ", want: "512 4096"},
	{line: "lunserve --sector-size=4", want: "--sector-size=4096"},
	{line: "lunserve --size ", want: ""},
	{line: "lunserve d", want: "detach disk.img doctor"},
	{line: "lunserve images/", want: "images/a.img images/b.IMG images/c.img.zst images/d.raw images/more",
		fish: "images/a.img images/b.IMG images/c.img.zst images/d.raw images/more images/notes.txt"},
	{line: "lunserve -r disk.img --for", want: "--fork --format"},
	{line: "lunserve --tmpdir ", want: "images texts"},
	{line: "lunserve --overlay images/", want: "images/a.img images/b.IMG images/c.img.zst images/d.raw images/more images/notes.txt"},
	{line: "lunserve --trace=te", want: "--trace=texts"},
	{line: "lunserve p", want: "pack plot powercut"},
	{line: "lunserve pack -", want: "-f --force --frame-size --level --format --backing --cache-size --zstd-window --tmpdir --cache-dir --cache-limit --netrc-file --ca-file --s3-endpoint -h --help --version"},
	{line: "lunserve pack --format z", want: "zstd"},
	{line: "lunserve pack --format zstd disk.img te", want: "texts"},
	{line: "lunserve pack -- ", want: "disk.img images texts"},
	{line: "lunserve serve d", want: "disk.img"},
	{line: "lunserve detach ", want: "disk.img root.img"},
	{line: "lunserve stats --json r", want: "root.img"},
	{line: "lunserve resize d", want: "disk.img"},
	{line: "lunserve texts/", want: "texts/a.txt texts/b"},
	{line: "lunserve pack disk.img texts/", want: "texts/a.txt texts/b"},
	{line: "lunserve fault d", want: "disk.img"},
	{line: "lunserve powercut d", want: "disk.img"},
	{line: "lunserve list d", want: "disk.img"},
	{line: "lunserve completion ", want: "bash zsh fish"},
	{line: "lunserve disk.img -- lunserve --sector-size ", want: "512 4096"},
}

// TestShellsComplete runs real shells.
func TestShellsComplete(t *testing.T) {
	for name, sh := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needShell(t, name)
			s := start(t, sh, "disk.img", "root.img")
			ask := func(l line) {
				want := l.want
				if name == "fish" && l.fish != "" {
					want = l.fish
				}
				if got := s.candidates(l.line); !slices.Equal(got, sorted(strings.Fields(want))) {
					t.Errorf("%q: %q, want %q", l.line, got, want)
				}
			}
			for _, l := range lines {
				ask(l)
			}
			// A rule of faults is one word.
			for _, l := range []string{"lunserve --fault u", "lunserve fault disk.img u"} {
				if got := s.candidates(l); !slices.Equal(got, []string{"unmap: unsupported"}) {
					t.Errorf("%q: %q", l, got)
				}
			}
			// A block device is a likely image. Only root can make one.
			if err := unix.Mknod(filepath.Join(s.home, "texts/disk"), unix.S_IFBLK|0o600, 7<<8); err == nil {
				ask(line{line: "lunserve texts/", want: "texts/disk", fish: "texts/disk texts/a.txt texts/b"})
			}
		})
	}
}

// The names of disks are words, whatever is in them: a shell does not expand
// them, neither when it completes nor when it runs the line.
func TestShellsDoNotExpandNamesOfDisks(t *testing.T) {
	names := []string{"a b.img", "$(touch made)", "`touch made`", "c;touch made", "$HOME", "*", "it's", `d"e`, `f\x1b`, "~", "g&", "<h"}
	for name, sh := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needShell(t, name)
			s := start(t, sh, names...)
			if got := s.candidates("lunserve detach "); !slices.Equal(got, sorted(slices.Clone(names))) {
				t.Errorf("the candidates are %q, want %q", got, names)
			}
			if _, err := os.Stat(filepath.Join(s.home, "made")); err == nil {
				t.Error("a name was executed")
			}
		})
	}
}

// needShell skips a test without the shell or, for bash, what ours builds on.
func needShell(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	if err == nil && name == "bash" {
		_, err = os.Stat(bashCompletion)
	}
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}

// A session is a running shell.
type session struct {
	*terminal
	shell
	home string
	told *bufio.Reader
	pipe *os.File
}

func start(t *testing.T, sh shell, names ...string) *session {
	t.Helper()
	home, bin := t.TempDir(), t.TempDir()
	for _, name := range files {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "lunserve"), []byte(standIn), 0o777); err != nil {
		t.Fatal(err)
	}
	listed := filepath.Join(bin, "names")
	if err := os.WriteFile(listed, []byte(strings.Join(names, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	told := filepath.Join(bin, "told")
	if err := unix.Mkfifo(told, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(told, os.O_RDWR, 0) // otherwise it would end with each writer
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	scripts, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh.command[0], sh.command[1:]...)
	cmd.Dir = home
	cmd.Env = []string{
		"HOME=" + bin, "TMPDIR=" + bin, "TERM=dumb", "LC_ALL=C.UTF-8", "INPUTRC=/dev/null", "PS1=" + sh.prompt,
		"PATH=" + bin + ":/usr/bin:/bin", "SCRIPTS=" + scripts, "TOLD=" + told, "NAMES=" + listed,
	}
	s := &session{terminal: newTerminal(t, cmd), shell: sh, home: home, told: bufio.NewReader(pipe), pipe: pipe}
	for _, line := range sh.setup {
		s.enter(line + "\n")
	}
	return s
}

// candidates returns the candidates at the end of a line.
func (s *session) candidates(line string) (words []string) {
	s.t.Helper()
	s.enter(s.ask(line))
	s.pipe.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		word, err := s.told.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%q: lunserve was not run: %v", line, err)
		}
		if word == ".\n" {
			break
		}
		words = append(words, strings.TrimSuffix(strings.TrimSuffix(word, "\n"), "/"))
	}
	if !s.whole {
		words = words[len(strings.Fields(line[:strings.LastIndex(line, " ")]))-1:]
	}
	return sorted(words)
}

func sorted(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}
