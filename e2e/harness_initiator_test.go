package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An initiator is open-iscsi, with a configuration of its own.
type initiator struct {
	t *testing.T
}

// newInitiator starts the daemon. What others have configured is out of sight
// until t ends.
func newInitiator(t *testing.T) *initiator {
	t.Helper()
	need(t, "iscsid")
	mount(t, "tmpfs", "/etc/iscsi", "-t", "tmpfs")
	for name, text := range map[string]string{
		"initiatorname.iscsi": "InitiatorName=" + itsName + "\n",
		// No pings, no retries: what goes wrong is told at once.
		"iscsid.conf": `iscsid.startup = /bin/false
node.startup = manual
node.session.auth.authmethod = None
node.session.initial_login_retry_max = 1
node.session.timeo.replacement_timeout = 1
node.conn[0].timeo.login_timeout = 15
node.conn[0].timeo.noop_out_interval = 0
node.conn[0].timeo.noop_out_timeout = 0
`,
	} {
		if err := os.WriteFile("/etc/iscsi/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("/run/lock/iscsi", 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "modprobe", "iscsi_tcp")
	cmd := exec.Command("iscsid", "-f")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it takes its group with it
	said := newRecord()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Errorf("iscsid: still running after %v", patience)
		}
		if t.Failed() {
			t.Logf("iscsid said:\n%s", said)
		}
	})
	i := &initiator{t}
	// It says so when it cannot be asked: exit status 20; 21 is that there are no sessions.
	i.eventually(func() bool {
		_, err := try(t, "iscsiadm", "-m", "session")
		return err == nil || strings.HasSuffix(err.Error(), " 21")
	})
	return i
}

// itsName is the initiator's name, unless another is chosen for a login.
const itsName = "iqn.1993-08.org.debian:01:tester"

// admin runs iscsiadm.
func (i *initiator) admin(args ...string) string {
	i.t.Helper()
	return run(i.t, "iscsiadm", args...)
}

// A node is a target as an initiator knows it.
type node struct {
	*initiator
	args []string // for iscsiadm
}

// node makes a target known by its URL, without asking it, for the initiator
// of the name as. With it are settings in iscsiadm's words, each with its value.
func (i *initiator) node(as, url string, settings ...string) *node {
	i.t.Helper()
	portal, iqn := target(i.t, url)
	iface := "default"
	if as != itsName {
		iface = strings.NewReplacer(":", "-", ".", "-").Replace(as)
		i.admin("-m", "iface", "-I", iface, "-o", "new")
		i.admin("-m", "iface", "-I", iface, "-o", "update", "-n", "iface.initiatorname", "-v", as)
	}
	n := &node{i, []string{"-m", "node", "-T", iqn, "-p", portal, "-I", iface}}
	n.do("-o", "new")
	for len(settings) > 1 {
		n.do("-o", "update", "-n", settings[0], "-v", settings[1])
		settings = settings[2:]
	}
	return n
}

func (n *node) do(args ...string) string {
	n.t.Helper()
	return n.admin(append(n.args, args...)...)
}

// login logs in until the test ends or logout, and returns the disk.
func (n *node) login() string {
	n.t.Helper()
	n.do("--login")
	n.t.Cleanup(func() {
		if n.loggedIn() {
			n.do("--logout")
		}
	})
	var disks []string
	n.eventually(func() bool {
		disks = nil
		for _, f := range glob(n.t, "/sys/class/iscsi_session/session*/targetname") {
			name, err := os.ReadFile(f)
			if err != nil || strings.TrimSpace(string(name)) != n.args[3] {
				continue
			}
			for _, d := range glob(n.t, filepath.Dir(f)+"/device/target*/*/block/*") {
				disks = append(disks, "/dev/"+filepath.Base(d))
			}
		}
		if len(disks) == 0 {
			return false
		}
		// The node is made a moment before the kernel lets anybody open it
		// (block/genhd.c, device_add_disk).
		f, err := os.Open(disks[0])
		if err != nil {
			return false
		}
		f.Close()
		return true
	})
	return disks[0]
}

func (n *node) loggedIn() bool {
	out, err := try(n.t, "iscsiadm", "-m", "session")
	return err == nil && strings.Contains(out, n.args[3])
}

func (n *node) logout() {
	n.t.Helper()
	n.do("--logout")
}

// refused expects the login to fail with what iscsiadm says of it.
func (n *node) refused(why string) {
	n.t.Helper()
	out := fails(n.t, "iscsiadm", append(n.args, "--login")...)
	if !strings.Contains(out, why) {
		n.t.Errorf("login: %s\nwant %s", out, why)
	}
}

// eventually waits for what another process does, which has nothing to wait on.
func (i *initiator) eventually(done func() bool) {
	i.t.Helper()
	enough := time.After(patience)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-enough:
			i.t.Fatalf("not after %v", patience)
		}
	}
}

// target takes a URL apart.
func target(t *testing.T, url string) (portal, iqn string) {
	t.Helper()
	rest, ok := strings.CutPrefix(url, "iscsi://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		t.Fatalf("%q is no URL of a LUN", url)
	}
	if _, err := netip.ParseAddrPort(parts[0]); err != nil {
		t.Fatal(err)
	}
	return parts[0], parts[1]
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
