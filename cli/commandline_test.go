package cli

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

// words splits a command line at blanks.
func words(line string) []string { return strings.Fields(line) }

// parsed parses a command line, and fails if it does anything but return.
func parsed(t *testing.T, args ...string) (*grammar, *kong.Context, error) {
	t.Helper()
	g := new(grammar)
	k, err := parse(g, args, kong.Vars{"version": ""}, kong.Name("lunserve"), kong.ExplicitGroups(groups), kong.Exit(func(int) { t.Errorf("%q: exits", args) }))
	return g, k, err
}

func TestErrorsOfACommandLineProposeTheWholeLine(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("disk.img", nil, 0o600), os.Mkdir("folder", 0o700)); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		// Words of other tools.
		"ls":                                  "ls: no such file or subcommand; try lunserve list",
		"attach disk.img -r":                  "attach: no such file or subcommand; try lunserve disk.img -r",
		"mount disk.img folder":               "mount: no such file or subcommand; try lunserve --mount folder disk.img",
		"-r mount disk.img /":                 "mount: no such file or subcommand; try lunserve -r disk.img",
		"create new.img":                      "create: no such file or subcommand; try lunserve --size 10G new.img",
		"create disk.img":                     "create: no such file or subcommand; try lunserve disk.img",
		"create --size 1M new.img":            "create: no such file or subcommand; try lunserve --size 1M new.img",
		"rm -f disk.img":                      "rm: no such file or subcommand; try lunserve detach disk.img",
		"convert -f a.img b.zst":              "convert: no such file or subcommand; try lunserve pack a.img b.zst",
		"convert a.zst b.img":                 "convert: no such file or subcommand; try lunserve unpack a.zst b.img",
		"start":                               "start: no such file or subcommand; try lunserve --help",
		"help pack":                           "help: no such file or subcommand; try lunserve pack --help",
		"-fP --show disk.img":                 "-f: not a flag of lunserve: the kernel chooses a node, and lunserve prints it; try lunserve disk.img",
		"-rP disk.img":                        "-P: not a flag of lunserve: partitions always get nodes; try lunserve -r disk.img",
		"-f raw disk.img":                     "-f: not a flag of lunserve: that is --format; try lunserve --format raw disk.img",
		"-fraw disk.img":                      "-f: not a flag of lunserve: that is --format; try lunserve --format raw disk.img",
		"-f qcow2 disk.img":                   "-f: not a flag of lunserve: lunserve detects the format; try lunserve disk.img",
		"attach -f raw disk.img":              "attach: no such file or subcommand; try lunserve --format raw disk.img",
		"-c /dev/nbd0 -r disk.img":            "-c: not a flag of lunserve: the kernel chooses a node, and lunserve prints it; try lunserve -r disk.img",
		"-c/dev/nbd0 disk.img":                "-c: not a flag of lunserve: the kernel chooses a node, and lunserve prints it; try lunserve disk.img",
		"serve -b 4096 disk.img":              "-b: not a flag of lunserve: that is --sector-size; try lunserve serve --sector-size 4096 disk.img",
		"--pidfile=p disk.img":                "--pidfile: not a flag of lunserve: that is --pid-file; try lunserve --pid-file p disk.img",
		"-D":                                  "-D: not a flag of lunserve: lunserve detach --all does that; try lunserve detach --all",
		"-d /dev/loop0":                       "-d: not a flag of lunserve: lunserve detach does that; try lunserve detach /dev/loop0",
		"serve -d disk.img":                   "-d: not a flag of lunserve: lunserve detach does that; try lunserve detach disk.img",
		"mount -o ro disk.img /":              "mount: no such file or subcommand; try lunserve -r disk.img",
		"mount -o loop,ro disk.img /":         "mount: no such file or subcommand; try lunserve -r disk.img",
		"-o rw disk.img":                      "-o: not a flag of lunserve: options of mount are for mount; try lunserve disk.img",
		"-oro disk.img":                       "-o: not a flag of lunserve: that is -r; try lunserve -r disk.img",
		"-o 1M disk.img":                      "-o: not a flag of lunserve: that is --offset; try lunserve --offset 1M disk.img",
		"create new.img 10G":                  "create: no such file or subcommand; try lunserve --size 10G new.img",
		"create -f raw new.img 2G":            "create: no such file or subcommand; try lunserve --size 2G new.img",
		"create -s 3G new.img":                "create: no such file or subcommand; try lunserve --size 3G new.img",
		"create disk.img 10G":                 "create: no such file or subcommand; try lunserve disk.img",
		"convert -f raw disk.img":             "convert: no such file or subcommand; try lunserve unpack --help",
		"convert -p -f qcow2 -O raw a b":      "convert: no such file or subcommand; try lunserve unpack a b",
		"compress -f disk.img":                "compress: no such file or subcommand; try lunserve pack disk.img",
		"rm -rf disk.img":                     "rm: no such file or subcommand; try lunserve detach --help",
		"rm -ff disk.img":                     "rm: no such file or subcommand; try lunserve detach --help",
		"-df disk.img":                        "-d: not a flag of lunserve: lunserve detach does that; try lunserve detach disk.img",
		"-d --force disk.img":                 "-d: not a flag of lunserve: lunserve detach does that; try lunserve detach disk.img",
		"-dff disk.img":                       "-d: not a flag of lunserve: lunserve detach does that; try lunserve detach --help",
		"pack -fd a.zst b":                    "-d: not a flag of lunserve: lunserve unpack does that; try lunserve unpack a.zst b",
		"-b 192.0.2.1 disk.img":               "-b: not a flag of lunserve: that is --portal; try lunserve --iscsi --portal 192.0.2.1 disk.img",
		"-b ::1 disk.img":                     "-b: not a flag of lunserve: that is --portal; try lunserve --iscsi --portal '[::1]' disk.img",
		"-P pidfile disk.img":                 "-P: not a flag of lunserve: that is --pid-file; try lunserve --pid-file pidfile disk.img",
		"-P disk.img disk.img":                "-P: not a flag of lunserve: partitions always get nodes; try lunserve disk.img disk.img",
		"-c disk.img":                         "-c: not a flag of lunserve: the kernel chooses a node, and lunserve prints it; try lunserve disk.img",
		"-v":                                  "-v: not a flag of lunserve: that is --version; try lunserve --version",
		"-j disk.img":                         "-j: not a flag of lunserve: lunserve list does that; try lunserve list disk.img",
		"ps -a":                               "ps: no such file or subcommand; try lunserve list",
		"umount -l /mnt":                      "umount: no such file or subcommand; try lunserve detach --help",
		"nbdkit -r file disk.img":             "nbdkit: no such file or subcommand; try lunserve -r disk.img",
		"help me":                             "help: no such file or subcommand; try lunserve --help",
		"losetup -d x":                        "losetup: no such file or subcommand; try lunserve detach x",
		"losetup -fP --show disk.img":         "losetup: no such file or subcommand; try lunserve disk.img",
		"qemu-nbd -r -c /dev/nbd0 disk.img":   "qemu-nbd: no such file or subcommand; try lunserve -r disk.img",
		"losetup":                             "losetup: no such file or subcommand; try lunserve --help",
		"targetcli /backstores/fileio create": "targetcli: no such file or subcommand; try lunserve --help",
		"-J":                                  "-J: not a flag of lunserve: lunserve list --json does that; try lunserve list --json",
		"pack -f -o out.zst disk.img":         "-o: not a flag of lunserve: the output is the last argument; try lunserve pack disk.img out.zst",
		"pack -T0 disk.img":                   "-T: not a flag of lunserve: all CPUs are used; try lunserve pack disk.img",

		// Sizes, times and other values.
		"--size 10 GB disk.img":                            "--size 10 GB: a size is one word; try lunserve --size 10GB disk.img",
		"-s 10G new.img":                                   "10G: no such file; a size needs --size; try lunserve --size 10G new.img",
		"-s 10G disk.img":                                  "10G: no such file; a size needs --size", // for a new image
		"10G":                                              "10G: no such file; a size needs --size",
		"pack --cache-size 256 a.img":                      `--cache-size: "256" is 256 bytes, less than 1M; try lunserve pack --cache-size=256M a.img`,
		"pack --cache-size 1 GB a.img":                     "--cache-size 1 GB: a size is one word; try lunserve pack --cache-size 1GB a.img",
		"--size disk.img":                                  `--size: "disk.img" is not a size, such as 10G`,
		"--size":                                           "--size needs a value; try lunserve --size=10G",
		"pack --cache-size 0 disk.img":                     `--cache-size: "0" is not a size, such as 256M`,
		"stats --interval 5":                               `--interval: "5" is not a time with a unit; try lunserve stats --interval=5s`,
		"stats --interval 0s":                              `--interval: "0s" is not above 0`,
		"--size 20GB20 new.img":                            `--size: "20GB20" is not a size, such as 10G`,
		"--size 10 Gi disk.img":                            "--size 10 Gi: a size is one word; try lunserve --size 10Gi disk.img",
		"--size 1M new.img 10G":                            "10G: no such file, but a size; ./10G makes one",
		"/dev/loop1 disk.img":                              "/dev/loop1: the kernel chooses a node, and lunserve prints it; try lunserve disk.img",
		"connect -r /dev/nbd0 disk.img":                    "connect: no such file or subcommand; try lunserve -r disk.img",
		"losetup /dev/loop1 disk.img":                      "losetup: no such file or subcommand; try lunserve disk.img",
		"pack -20f disk.img":                               `--level: "20" is not a level from 1 to 19; try lunserve pack --level=3 disk.img`,
		"pack -19k disk.img":                               "-k: not a flag of lunserve: the image is always kept; try lunserve pack -19 disk.img",
		"-19 disk.img":                                     "unknown flag -1; try lunserve --help",
		"stats -i -5s":                                     "--interval needs a value; try lunserve stats --interval=10s -5s",
		"resize disk.img lots":                             `"lots" is not a size, such as 10G or +10G; try lunserve resize --help`, // growing needs consent
		"pack -20 disk.img":                                `--level: "20" is not a level from 1 to 19; try lunserve pack --level=3 disk.img`,
		"pack --level x disk.img":                          `--level: "x" is not a level from 1 to 19; try lunserve pack --level=3 disk.img`,
		"--format zsdt disk.img":                           `--format: "zsdt" is not one of auto, raw, sparse, zstd, qcow2, simg, vmdk; try lunserve --format=zstd disk.img`,
		"--sector-size 1K disk.img":                        `--sector-size: "1K" is not 512 or 4096`,
		"--read-only=maybe disk.img":                       "--read-only is true or false",
		"-r=1 disk.img":                                    "-r takes no value",
		"--iscsi --iqn foo disk.img":                       "--iqn: foo: not an iSCSI name, such as iqn.2001-04.com.example:disk",
		"--iscsi --iqn=iqn.2001-04.com.example:A disk.img": "--iqn: iqn.2001-04.com.example:A: has upper-case letters, which initiators may change to lower case; try lunserve --iscsi --iqn=iqn.2001-04.com.example:a disk.img",
		"--iscsi --allow ../x disk.img":                    "--allow: ../x: not an iSCSI name, such as iqn.2001-04.com.example:disk",
		"--iscsi --portal 127.0.0.1:0 disk.img":            `--portal: "127.0.0.1:0" has no port; try lunserve --iscsi --portal=127.0.0.1:3260 disk.img`,
		"completion tcsh":                                  `"tcsh" is not one of bash, zsh, fish; try lunserve completion --help`,

		"--fault raed:medium disk.img":           `--fault: "raed" is not one of read, write, unmap, flush, any; try lunserve --fault=read:medium disk.img`,
		"--fault any: disk.img":                  `--fault: a word is missing: one of medium, unsupported, aborted, transport, ua, busy, task-set-full, reservation, lost, torn, flip, delay, hang`,
		"--fault map= disk.img":                  "--fault: map= needs the name of a map of ddrescue",
		"--fault-seed 0 disk.img":                `--fault-seed: "0" is not a number from 1 on`,
		"fault disk.img any:medium any:bussy -r": "unknown flag -r; try lunserve fault --help",
		"fault disk.img any:medium any:bussy":    `"bussy" is not one of medium, unsupported, aborted, transport, ua, busy, task-set-full, reservation, lost, torn, flip, delay, hang; try lunserve fault disk.img any:medium any:busy`,
		"fault disk.img any:5":                   `"5" is not one of medium, unsupported, aborted, transport, ua, busy, task-set-full, reservation, lost, torn, flip, delay, hang; try lunserve fault --help`,

		// An empty value comes from an empty variable: --overlay= would write
		// to the image.
		"--overlay= disk.img":        "--overlay is empty; it is --overlay=FILE",
		"--run= disk.img":            "--run is empty; it is --run=LINE",
		"--trace= disk.img":          "--trace is empty; it is --trace=FILE",
		"--allow --iscsi disk.img":   "--allow needs a value; it is --allow=IQN",
		"pack - a.zst":               "-: lunserve reads and writes files, not standard input and output; ./- is a file; try cat >NEW.img to make a file of standard input",
		"unpack a.zst -":             "-: lunserve reads and writes files, not standard input and output; ./- is a file",
		"commit -o - a":              "--output -: lunserve reads and writes files, not standard input and output; ./- is a file",
		"-":                          "-: lunserve reads and writes files, not standard input and output; ./- is a file; try cat >NEW.img to make a file of standard input",
		"disk.img --":                "no command after --",
		"--portal= --iscsi disk.img": "--portal is empty; it is --portal=ADDR[:PORT]",

		// Misspelt words.
		"--read-onyl disk.img": "unknown flag --read-onyl; try lunserve --read-only disk.img",
		"--frok disk.img":      "unknown flag --frok; try lunserve --fork disk.img",
		"--sise=1M disk.img":   "unknown flag --sise; try lunserve --size=1M disk.img",
		"--nope disk.img":      "unknown flag --nope; try lunserve --help",
		"-z disk.img":          "unknown flag -z; try lunserve --help",
		"pack -z disk.img":     "unknown flag -z; try lunserve pack --help",
		"pakc -f disk.img":     "pakc: no such file or subcommand; try lunserve pack -f disk.img",
		"-r pack disk.img":     "--read-only: not a flag of pack; try lunserve pack --help",
		"":                     "no image given; try lunserve --help",
		"pack":                 "no image given; try lunserve pack --help",
		"unpack a":             "no output given; try lunserve unpack --help",
		"pack a b c":           "c: one argument too many; try lunserve pack --help",
		"completion bash zsh":  "zsh: one argument too many; try lunserve completion --help",
	} {
		if _, _, err := parsed(t, words(line)...); err == nil || hint.Text(err) != want {
			got := "no error"
			if err != nil {
				got = hint.Text(err)
			}
			t.Errorf("lunserve %s:\n got %s\nwant %s", line, got, want)
		}
	}
}

// kong finds no fault in any command line: its words would not be ours. Every two
// words stand beside each other, and each third word follows each other word.
func TestErrorsAreOurs(t *testing.T) {
	t.Chdir(t.TempDir())
	all := append(words("disk.img - -- -rs -i -o -f19 --size --size=1M GB --portal --trace=x --json --level=9 pack list resize --read-only=no \xe9 --x\xe9 -\xe9 = --= -="), "")
	third := []string{"stats", "--run", "-1", ""}
	for i, a := range all {
		for k, b := range all {
			args := []string{a, b, third[(i+k)%len(third)]}
			_, _, err := parsed(t, args...)
			if e, ok := errors.AsType[*kong.ParseError](err); ok {
				t.Errorf("%q: %v", args, e)
			}
		}
	}
}

// File names are any bytes, and every word reaches its place as it was typed.
func TestWordsAreVerbatim(t *testing.T) {
	const odd = "a\xe9\xff\n\"\\,=b"
	g, _, err := parsed(t, "--overlay", odd, "--tmpdir="+odd, "--pid-file", odd, "--trace="+odd, "--iscsi", "--chap-file", odd, "--run", odd, odd, "-r", odd+odd, "--", odd, "--run", "")
	if err != nil {
		t.Fatal(err)
	}
	s := &g.Serve
	for i, got := range []string{s.Overlay, s.TmpDir, s.PIDFile, s.Trace.File, s.CHAPFile, s.Line, s.Images[0], s.Command[0]} {
		if got != odd {
			t.Errorf("%d: %q, want %q", i, got, odd)
		}
	}
	if want := []string{odd, odd + odd}; !slices.Equal(s.Images, want) || !s.ReadOnly || !slices.Equal(s.Command, []string{odd, "--run", ""}) {
		t.Errorf("images %q, read-only %v, command %q", s.Images, s.ReadOnly, s.Command)
	}

	g, _, err = parsed(t, "pack", "-f19", "--", odd, "-"+odd)
	if err != nil || g.Pack.In != odd || g.Pack.Out != "-"+odd || g.Pack.Level != 19 || !g.Pack.Force {
		t.Errorf("pack: %+v, %v", g.Pack, err)
	}
	g, _, err = parsed(t, "commit", "-o"+odd, "--base="+odd, odd)
	if err != nil || g.Commit.Output != odd || g.Commit.Base != odd || g.Commit.Overlay != odd {
		t.Errorf("commit: %+v, %v", g.Commit, err)
	}
	// Without images before --, the words after it are images.
	if g, _, err = parsed(t, "-r", "--", "-"+odd); err != nil || !slices.Equal(g.Serve.Images, []string{"-" + odd}) || g.Serve.Command != nil {
		t.Errorf("images %q, command %q, %v", g.Serve.Images, g.Serve.Command, err)
	}
}

// Digits among letters are a level, and a flag may have a value of kong's.
func TestValuesInOneWord(t *testing.T) {
	for _, word := range words("-19f -f19 -f19f") {
		g, _, err := parsed(t, "pack", word, "a", "b")
		if err != nil || g.Pack.Level != 19 || !g.Pack.Force {
			t.Errorf("%s: %+v, %v", word, g.Pack, err)
		}
	}
	for word, want := range map[string]bool{"1": true, "yes": true, "true": true, "TRUE": true, "0": false, "no": false, "false": false} {
		if g, _, err := parsed(t, "--read-only="+word, "a"); err != nil || g.Serve.ReadOnly != want {
			t.Errorf("--read-only=%s: %v, %v", word, g.Serve.ReadOnly, err)
		}
	}
	if g, _, err := parsed(t, "--size", "10 GB", "a"); err != nil || g.Serve.Size != 10e9 {
		t.Errorf("10 GB: %v, %v", g.Serve.Size, err)
	}
}

// The model of all subcommands takes kong half the time of lunserve --version.
// Allocations are compared since a busy machine does not change them.
func TestOnlyTheSubcommandThatIsMeantIsBuilt(t *testing.T) {
	o := append(options(t.Context(), console.New(io.Discard, "lunserve")), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	whole := testing.AllocsPerRun(5, func() { kong.Must(new(grammar), o...) })
	for _, line := range []string{"list", "unpack a b", "-r disk.img"} {
		n := testing.AllocsPerRun(5, func() {
			if _, err := parse(new(grammar), words(line), o...); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("lunserve %s: %.0f allocations, and %.0f for the model of all", line, n, whole)
		if n > whole*3/4 {
			t.Errorf("lunserve %s: %.0f allocations to parse that; the model of all takes %.0f", line, n, whole)
		}
	}
}
