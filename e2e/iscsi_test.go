package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startISCSI starts lunserve --iscsi and waits for the URLs: one for each argument
// that is not a flag.
func startISCSI(t *testing.T, args ...string) (s *server, urls []string) {
	t.Helper()
	s = launch(t, exec.Command(binary, append([]string{"--iscsi"}, args...)...))
	for range slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") }) {
		urls = append(urls, s.line())
	}
	return s, urls
}

// secrets makes a file for --chap-file.
func secrets(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A URL can be used as soon as it is printed. Data written there is in the image
// after the server's end.
func TestURLIsPrintedWhenLoginSucceeds(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	images := []string{newImage(t, dir, 64<<20), newImage(t, dir, 8<<20)}
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, noise(64<<20, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	s, urls := startISCSI(t, images...)
	for n, url := range urls {
		if !strings.HasPrefix(url, "iscsi://127.0.0.1:3260/iqn.2026-11.io.github.lunserve:") || !strings.HasSuffix(url, fmt.Sprintf("/%d", n)) {
			t.Errorf("URL %d is %s", n, url)
		}
	}
	run(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, urls[0])
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", source, urls[0])
	if out := run(t, "qemu-img", "info", urls[1]); !strings.Contains(out, "8 MiB") {
		t.Errorf("the second LUN: %s", out)
	}
	s.ends()
	run(t, "cmp", source, images[0])
	if reads, writes := s.did(urls[0]); reads == 0 || writes == 0 {
		t.Errorf("%d reads, %d writes", reads, writes)
	}
}

func TestURLIsTheSameNextTime(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s, first := startISCSI(t, image)
	s.ends()
	s, second := startISCSI(t, image)
	s.ends()
	if first[0] != second[0] {
		t.Errorf("%s, then %s", first, second)
	}
}

// The disk of another machine is open-iscsi's, from discovery to logout.
func TestDiskOfAnotherMachine(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 64<<20)
	i := newInitiator(t)
	s, urls := startISCSI(t, image)
	portal, iqn := target(t, urls[0])
	s.stderr.await(t, `(?m)^lunserve: warning: every user of this machine can read and write the disk at `+portal+`, though `+image+` has mode 06\d\d; try --chap-file FILE$`)
	if out := i.admin("-m", "discovery", "-t", "sendtargets", "-o", "nonpersistent", "-p", portal); strings.TrimSpace(out) != portal+",1 "+iqn {
		t.Errorf("discovered %q", out)
	}
	n := i.node(itsName, urls[0])
	disk := n.login()
	run(t, "fio", "--name=verify", "--filename="+disk, "--rw=randwrite", "--bs=4k-64k", "--size=32M", "--direct=1",
		"--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1")
	write(t, disk, 40<<20, noise(1<<20, 3))

	uses(t, user{Kind: "initiator", Where: itsName})
	// In use: the first ^C only reports the initiator.
	s.signal(os.Interrupt)
	s.stderr.await(t, `(?m)^lunserve: `+iqn+` is used by `+itsName+`; \^C again`)
	holds(t, disk, 40<<20, noise(1<<20, 3))

	n.logout()
	s.ends()
	holds(t, image, 40<<20, noise(1<<20, 3))
}

func TestSecretIsAskedFor(t *testing.T) {
	const chap, user, secret = "CHAP", "joe", "correct horse battery"
	const byTarget = "authorization failure"
	type login struct {
		name     string
		settings []string
		refused  string // what iscsiadm says
	}
	none := login{"none", []string{"authmethod", "None"}, byTarget}
	wrong := login{"wrong", []string{"authmethod", chap, "username", user, "password", secret + "x"}, byTarget}
	another := login{"another's", []string{"authmethod", chap, "username", "jane", "password", secret}, byTarget}
	right := login{"right", []string{"authmethod", chap, "username", user, "password", secret}, ""}
	back := func(target string) []string {
		return slices.Concat(right.settings, []string{"username_in", "target", "password_in", target})
	}
	for _, tt := range []struct {
		name   string
		file   []string
		flags  []string
		logins []login
	}{
		{"one-way", nil, nil, []login{none, wrong, another, right}},
		{"with an ACL", nil, []string{"--allow=" + itsName}, []login{none, wrong, right}},
		{"mutual", []string{"target", "staple of the target"}, nil, []login{
			{"wrong", back("staple of another"), "login failure"}, {"right", back("staple of the target"), ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 8<<20)
			i := newInitiator(t)
			file := secrets(t, append([]string{user, secret}, tt.file...)...)
			s, urls := startISCSI(t, slices.Concat(tt.flags, []string{"--chap-file=" + file, image})...)
			for _, l := range tt.logins {
				t.Log(l.name)
				var settings []string
				for n, word := range l.settings {
					if n%2 == 0 {
						word = "node.session.auth." + word
					}
					settings = append(settings, word)
				}
				n := i.node(itsName, urls[0], settings...)
				if l.refused != "" {
					n.refused(l.refused)
					continue
				}
				write(t, n.login(), 4096, noise(8192, 1))
				n.logout()
				holds(t, image, 4096, noise(8192, 1))
			}
			s.ends()
			if strings.Contains(s.stderr.String(), secret) {
				t.Errorf("the secret was printed:\n%s", s.stderr)
			}
		})
	}
}

func TestSecretsFromFileDescriptor(t *testing.T) {
	needTarget(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("joe\ncorrect-horse\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	cmd := exec.Command(binary, "--iscsi", "--chap-file=/dev/fd/3", newImage(t, tmpfsDir(t), 1<<20))
	cmd.ExtraFiles = []*os.File{r}
	s := launch(t, cmd)
	url := s.line()
	fails(t, "iscsi-inq", url)
	run(t, "iscsi-inq", strings.Replace(url, "//", "//joe%correct-horse@", 1))
	s.ends()
}

func TestOnlyTheAllowedLogIn(t *testing.T) {
	needTarget(t)
	const one, two, three = "iqn.2001-04.com.example:one", "iqn.2001-04.com.example:two", "iqn.2001-04.com.example:three"
	image := newImage(t, tmpfsDir(t), 8<<20)
	i := newInitiator(t)
	s, urls := startISCSI(t, "--allow="+one, "--allow=IQN.2001-04.com.example:Two", image)
	for k, name := range []string{one, two} {
		n := i.node(name, urls[0])
		disk := n.login()
		write(t, disk, int64(k)<<20, noise(4096, byte(k)))
		if name == two {
			s.signal(os.Interrupt)
			s.stderr.await(t, `is used by `+name+`; `)
		}
		n.logout()
	}
	i.node(three, urls[0]).refused("authorization failure")
	i.node(itsName, urls[0]).refused("authorization failure")
	s.ends()
	for k := range 2 {
		holds(t, image, int64(k)<<20, noise(4096, byte(k)))
	}
}

func TestReadOnlyForEveryInitiator(t *testing.T) {
	for _, args := range [][]string{nil, {"--allow=" + itsName}} {
		t.Run(strings.Join(args, ""), func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 8<<20)
			i := newInitiator(t)
			s, urls := startISCSI(t, append(args, "-r", image)...)
			n := i.node(itsName, urls[0])
			disk := n.login()
			// blockdev opens the disk. Before Linux has read the partition table,
			// the attribute ro may be wrong: it is cleared while Linux asks the disk.
			if ro := strings.TrimSpace(run(t, "blockdev", "--getro", disk)); ro != "1" {
				t.Errorf("--getro is %s", ro)
			}
			out := fails(t, "sg_raw", "--send=512", "--infile="+image, generic(t, disk), "2a", "00", "00", "00", "00", "00", "00", "00", "01", "00")
			if !strings.Contains(out, "Write protected") {
				t.Errorf("WRITE(10): %s", out)
			}
			n.logout()
			s.ends()
		})
	}
}

// PREVENT ALLOW MEDIUM REMOVAL holds until the I_T nexus is lost, by logout or not,
// or the LUN is reset. Linux's own initiator cannot show that: it allows removal
// each time it has probed a disk.
func TestMediumIsKeptInUntilTheSessionEnds(t *testing.T) {
	needTarget(t)
	s, urls := startISCSI(t, "--removable", newImage(t, tmpfsDir(t), 8<<20))
	for _, name := range []string{"Simple", "Eject", "ITNexusLoss", "Logout", "LUNReset", "2ITNexuses"} {
		out := run(t, "iscsi-test-cu", "-d", "-v", "-t", "ALL.PreventAllow."+name, urls[0])
		if !strings.Contains(out, "Test: "+name+" ...") || strings.Contains(out, "[SKIPPED]") || strings.Contains(out, "Failed to login") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
	s.stop(syscall.SIGTERM) // some leave sessions behind
}

// Outstanding commands do not delay the server's end.
func TestSessionEndsWithTheServer(t *testing.T) {
	for _, allow := range []bool{false, true} {
		t.Run(fmt.Sprint("ACL ", allow), func(t *testing.T) {
			needTarget(t)
			i := newInitiator(t)
			args := []string{newImage(t, tmpfsDir(t), 64<<20)}
			if allow {
				args = append(args, "--allow="+itsName)
			}
			s, urls := startISCSI(t, args...)
			n := i.node(itsName, urls[0])
			disk := n.login()
			load := exec.Command("fio", "--name=load", "--filename="+disk, "--rw=randwrite", "--bs=4k", "--direct=1",
				"--ioengine=libaio", "--iodepth=16", "--time_based", "--runtime=600")
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			awaitWrites(t, disk)
			began := time.Now()
			if status := s.stop(syscall.SIGTERM); status != 1 {
				t.Errorf("exit status %d\n%s", status, s.stderr)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			s.stderr.await(t, `is used by `+itsName+`: removed anyway`)
			if found := glob(t, configfs+"/*/*"); len(found) > 1 { // core/alua
				t.Errorf("left: %v", found)
			}
			load.Process.Signal(syscall.SIGKILL)
			n.logout()
			load.Wait()
		})
	}
}

func TestIPv6Portal(t *testing.T) {
	needTarget(t)
	s, urls := startISCSI(t, "--portal=[::1]:3261", newImage(t, tmpfsDir(t), 1<<20))
	if !strings.HasPrefix(urls[0], "iscsi://[::1]:3261/iqn.") {
		t.Errorf("the URL is %s", urls[0])
	}
	run(t, "iscsi-inq", urls[0])
	s.ends()
}

func TestEveryPortalListens(t *testing.T) {
	needTarget(t)
	s, urls := startISCSI(t, "--portal=127.0.0.1", "--portal=127.0.0.2:3261", "--portal=[::1]", newImage(t, tmpfsDir(t), 1<<20))
	_, iqn := target(t, urls[0])
	for _, portal := range []string{"127.0.0.1:3260", "127.0.0.2:3261", "[::1]:3260"} {
		run(t, "iscsi-inq", "iscsi://"+portal+"/"+iqn+"/0")
		s.stderr.await(t, strings.NewReplacer("[", `\[`, "]", `\]`).Replace(portal))
	}
	s.ends()
}

// When one of two targets at a portal ends, the other can still be reached.
func TestTwoTargetsAtOnePortal(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	one, first := startISCSI(t, newImage(t, dir, 1<<20))
	two, second := startISCSI(t, newImage(t, dir, 2<<20))
	run(t, "iscsi-inq", first[0])
	run(t, "iscsi-inq", second[0])
	one.ends()
	fails(t, "iscsi-inq", first[0])
	run(t, "iscsi-inq", second[0])
	two.ends()
}

func TestLoopbackAndISCSI(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 64<<20)
	s := launch(t, exec.Command(binary, "--loopback", "--iscsi", image))
	disk, url := s.line(), s.line()
	write(t, disk, 0, noise(1<<20, 5))
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, url)
	s.ends()
	s.did(disk)
}

func TestPortInUseIsReported(t *testing.T) {
	needTarget(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	portal := l.Addr().String()
	_, port, _ := net.SplitHostPort(portal)
	refused(t, "lunserve: "+portal+": address already in use; try ss -ltnp sport eq :"+port+" to see what uses it, or --portal ADDR:PORT for another address",
		"--iscsi", "--portal="+portal, newImage(t, tmpfsDir(t), 1<<20))
}

func TestBadTargetsAreRefused(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	short := secrets(t, "joe", "tooshort")
	public := secrets(t, "joe", "correct horse battery")
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	const taken = "iqn.2001-04.com.example:taken"
	s, _ := startISCSI(t, "--iqn="+taken, newImage(t, tmpfsDir(t), 1<<20))
	for _, tt := range []struct{ want, flag string }{
		{"192.0.2.1:3260: not an address of this machine: cannot assign requested address; try ip address", "--portal=192.0.2.1 --open"},
		{taken + ": the kernel has a target with this name: file already exists; try --iqn IQN for another name, or targetcli ls /iscsi", "--iqn=" + taken},
		{short + ": the CHAP secret has 8 bytes, and needs at least 12 (Windows initiators take 12 to 16); try openssl rand -base64 12", "--chap-file=" + short},
		{public + ": readable or writable by group or others (mode 0644); try chmod 600 " + public, "--chap-file=" + public},
		{"/nowhere: no such file or directory", "--chap-file=/nowhere"},
	} {
		refused(t, "lunserve: "+tt.want, append(strings.Fields(tt.flag), "--iscsi", image)...)
	}
	misused(t, "lunserve: --iqn: disk: not an iSCSI name, such as iqn.2001-04.com.example:disk", "--iqn=disk", "--iscsi", image)
	misused(t, "lunserve: --allow: ../x: not an iSCSI name, such as iqn.2001-04.com.example:disk", "--allow=../x", "--iscsi", image)
	misused(t, "lunserve: --open needs --iscsi; try --iscsi", "--open", image)
	misused(t, "lunserve: 0.0.0.0:3260: every machine that reaches this address could read and write the disk; "+
		"try --chap-file FILE, or --allow IQN, or --open to allow that", "--iscsi", "--portal=0.0.0.0", image)
	s.ends()
}
