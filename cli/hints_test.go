package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
)

// A hint is typed as it stands, so it must not hurt, and must do what it
// promises. Every hint of the sessions in testdata is typed in a copy of the
// folder in which it was printed. Required is that
//
//   - every file stays as it is, unless the purpose of the hint says otherwise;
//   - each new file is one that the hint names, perhaps with pack's .zst added;
//   - the command succeeds. A line that serves gets "--run true", and may end
//     with a kernel that has no TCM-USER: by then its flags are checked, and its
//     images opened and locked. The image of "did you mean" exists. A line with a placeholder, such as FILE, has to
//     fail; one that only shows something may.

// proposals is the environment variable that names where hints are recorded.
const proposals = "LUNSERVE_TEST_HINTS"

// A proposal is a hint, and the command line that led to it.
type proposal struct {
	Args []string
	Try  hint.Command
}

// record copies the working directory, for each of the hints. A server in the
// background has left it for the root, and nobody reads its hints.
func record(dir string, args []string, try []hint.Command) {
	if wd, err := os.Getwd(); err == nil && wd == "/" {
		return
	}
	for _, c := range try {
		to, err := os.MkdirTemp(dir, "")
		if err == nil {
			err = exec.Command("cp", "-a", "--sparse=always", ".", filepath.Join(to, "copy")).Run()
		}
		var b bytes.Buffer // not JSON, which changes names that are not UTF-8
		if err == nil {
			err = gob.NewEncoder(&b).Encode(proposal{args, c})
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "proposal"), b.Bytes(), 0o600)
		}
		if err != nil {
			panic(err)
		}
	}
}

// typeAll types the hints that were recorded in dir, and lists them.
func typeAll(t *testing.T, dir string) {
	all, err := filepath.Glob(filepath.Join(dir, "*/proposal"))
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for _, name := range all {
		var p proposal
		b, err := os.ReadFile(name)
		if err == nil {
			err = gob.NewDecoder(bytes.NewReader(b)).Decode(&p)
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, ok := p.line(); ok && !done[line+hint.Quote(p.Args...)] {
			done[line+hint.Quote(p.Args...)] = true
			t.Logf("lunserve %s: %s\n\ttyped: %s", hint.Quote(p.Args...), hint.Advice([]hint.Command{p.Try}), line)
			typeHint(t, p, line, filepath.Join(filepath.Dir(name), "copy"))
		} else if !ok {
			t.Logf("lunserve %s: %s\n\tnot typed", hint.Quote(p.Args...), hint.Advice([]hint.Command{p.Try}))
		}
	}
}

// Programs in hints, by what is expected of them.
var (
	makers = strings.Fields("lunserve cat mkdir truncate chmod qemu-img zstd zcat xzcat bzcat lz4cat")
	shows  = strings.Fields("ls lsblk openssl ip") // and zstd -t
	// These act on the machine, or need a network.
	machine = strings.Fields("dmesg modprobe mount umount swapoff systemctl apt-get kill lsof ss targetcli curl")
)

// line returns the line to type, if the hint is about files.
func (p *proposal) line() (line string, ok bool) {
	c := p.Try
	c.Words = slices.Clone(c.Words)
	end := len(p.Args)
	if i := slices.Index(p.Args, "--"); i >= 0 {
		end = i
	}
	switch {
	case c.Instead != "":
		i := slices.Index(p.Args, c.Instead)
		c.Words = slices.Concat([]string{"lunserve"}, p.Args[:i], c.Words, p.Args[i+1:])
	case c.Words[0][0] == '-':
		c.Words = slices.Concat([]string{"lunserve"}, p.Args[:end], c.Words, p.Args[end:])
	case c.Words[0] == "sudo":
		c.Words = c.Words[1:]
		c.Words[0] = filepath.Base(c.Words[0])
	}
	if program := c.Words[0]; slices.Contains(machine, program) {
		return "", false
	}
	if c.Words[0] == "lunserve" && serves(c.Words) {
		c.Words = slices.DeleteFunc(c.Words, func(word string) bool { return word == "--fork" || word == "--json" })
		c.Words = append(c.Words, "--run", "true")
	}
	return c.Line(), true
}

// placeholder is a word that a person replaces.
var placeholder = regexp.MustCompile(`(^|[ =])(FILE|DIR|IQN|ADDR:PORT|BASE|DICTIONARY)\b`)

// refusal is the error of a start whose images are open, or of an output that
// exists: that has to be confirmed. A disk may be served or not.
var refusal = regexp.MustCompile(`; try -f to replace it\n|: not served by lunserve; |lunserve: (configfs|target_core_mod|target_core_user|tcm_loop|sd_mod|sr_mod|iscsi_target_mod|vhost_scsi) is not (loaded|built|installed)|: address already in use|: not an address of this machine`)

// typeHint types a line in dir.
func typeHint(t *testing.T, p proposal, line, dir string) {
	t.Helper()
	before := files(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	script := line
	if pipe, ok := strings.CutPrefix(line, "cat pipe"); ok {
		script = "echo contents >pipe & cat pipe" + pipe
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script) // for names quoted as $'…'
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	words := strings.Fields(line)
	program := words[0]
	switch {
	case placeholder.MatchString(line):
		if err == nil {
			t.Errorf("%s: succeeds with a placeholder", line)
		}
	case p.Try.Instead != "": // an image; what is done with it may fail for another reason
		if strings.Contains(string(out), p.Try.Words[0]+": no such file") {
			t.Errorf("%s: %s", line, out)
		}
	case slices.Contains(shows, program), program == "zstd" && words[1] == "-t":
	case !slices.Contains(makers, program):
		t.Errorf("%s: no rule for this program", line)
	case err != nil && !refusal.Match(out):
		t.Errorf("%s: %v\n%s", line, err, out)
	}

	// With --userspace the disk is really served, and what keeps its writes is opened.
	serves := slices.Contains(p.Try.Words, "--userspace")
	after := files(t, dir)
	for name, was := range before {
		is, exists := after[name]
		switch {
		case is == was:
		case exists && p.Try.Purpose == "to replace it":
		case exists && serves && strings.HasSuffix(name, ".qcow2"):
		case exists && p.Try.Purpose == "to fill it with zeros" && was.size == 0:
		case exists && program == "chmod" && is.sum == was.sum:
		default:
			t.Errorf("%s: %s was %v and is %v", line, name, was, is)
		}
	}
	for name := range after {
		named := strings.TrimSuffix(filepath.Base(name), ".zst") // pack adds it
		if _, existed := before[name]; !existed && !strings.Contains(line, named) && !(serves && strings.HasSuffix(name, ".trace")) {
			t.Errorf("%s: made %s", line, name)
		}
	}
}

// A state is all of a file that may not change.
type state struct {
	mode fs.FileMode
	size int64
	sum  string
}

// files returns the state of each file below dir.
func files(t *testing.T, dir string) map[string]state {
	t.Helper()
	all := map[string]state{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		s := state{mode: fi.Mode(), size: fi.Size()}
		if fi.Mode().IsRegular() && fi.Size() < 1<<28 {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s.sum = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		all[path] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// serves reports whether words are a line that serves images until ^C.
func serves(words []string) bool {
	parser, err := kong.New(new(grammar), kong.Vars{"version": ""}, kong.ExplicitGroups(groups))
	if err != nil {
		panic(err)
	}
	l := commandLine{typed: words[1:], app: parser.Model}
	return l.read() == nil && l.node == l.app.DefaultCmd && !l.has("help") && !l.has("version") && !l.has("run") && l.command == nil
}
