package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An initiator is open-iscsi with a configuration of its own.
type initiator struct {
	t *testing.T
}

// newInitiator starts iscsid, until t ends. The machine's own configuration is
// hidden meanwhile.
func newInitiator(t *testing.T) *initiator {
	t.Helper()
	need(t, "iscsid")
	mount(t, "tmpfs", "/etc/iscsi", "-t", "tmpfs")
	for name, text := range map[string]string{
		"initiatorname.iscsi": "InitiatorName=" + itsName + "\n",
		// No pings and no retries: errors are reported immediately.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it kills its process group when it ends
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
		case <-time.After(timeLimit):
			cmd.Process.Kill()
			t.Errorf("iscsid: still running after %v", timeLimit)
		}
		if t.Failed() {
			t.Logf("iscsid said:\n%s", said)
		}
	})
	i := &initiator{t}
	// Exit status 20: iscsid cannot be reached; 21: there are no sessions.
	i.eventually(func() bool {
		_, err := try(t, "iscsiadm", "-m", "session")
		return err == nil || strings.HasSuffix(err.Error(), " 21")
	})
	return i
}

// itsName is the initiator's name, unless a login chooses another.
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

// node adds a target by its URL, without discovery, for the initiator named as.
// The settings are pairs of a name, as iscsiadm calls it, and a value.
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

// login logs in, until logout or the end of the test, and returns the disk.
func (n *node) login() string {
	n.t.Helper()
	before := n.disks()
	n.do("--login")
	n.t.Cleanup(func() {
		if n.loggedIn() {
			n.do("--logout")
		}
	})
	var disks []string
	n.eventually(func() bool {
		disks = slices.DeleteFunc(n.disks(), func(d string) bool { return slices.Contains(before, d) })
		if len(disks) == 0 {
			return false
		}
		// The node exists a moment before it can be opened (block/genhd.c,
		// device_add_disk).
		f, err := os.Open(disks[0])
		if err != nil {
			return false
		}
		f.Close()
		return true
	})
	return disks[0]
}

// disks returns the disks of all sessions with the target.
func (n *node) disks() (all []string) {
	n.t.Helper()
	for _, f := range glob(n.t, "/sys/class/iscsi_session/session*/targetname") {
		name, err := os.ReadFile(f)
		if err != nil || strings.TrimSpace(string(name)) != n.args[3] {
			continue
		}
		for _, d := range glob(n.t, filepath.Dir(f)+"/device/target*/*/block/*") {
			all = append(all, "/dev/"+filepath.Base(d))
		}
	}
	return all
}

func (n *node) loggedIn() bool {
	out, err := try(n.t, "iscsiadm", "-m", "session")
	return err == nil && strings.Contains(out, n.args[3])
}

func (n *node) logout() {
	n.t.Helper()
	n.do("--logout")
}

// refused expects the login to fail and iscsiadm to print why.
func (n *node) refused(why string) {
	n.t.Helper()
	out := fails(n.t, "iscsiadm", append(n.args, "--login")...)
	if !strings.Contains(out, why) {
		n.t.Errorf("login: %s\nwant %s", out, why)
	}
}

// eventually polls until done, for changes that no event announces.
func (i *initiator) eventually(done func() bool) {
	i.t.Helper()
	enough := time.After(timeLimit)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-enough:
			i.t.Fatalf("not after %v", timeLimit)
		}
	}
}

// target returns the portal and the name in a LUN's URL.
func target(t *testing.T, url string) (portal, iqn string) {
	t.Helper()
	rest, ok := strings.CutPrefix(url, "iscsi://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		t.Fatalf("%q is not the URL of a LUN", url)
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
