package configfs

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

const iqn = "iqn.2001-04.com.example:disk"

// iscsiKernel returns a kernel that plays iSCSI targets and listens at their
// portals.
func iscsiKernel(t testing.TB) *kernel {
	k := newKernel(t)
	listeners := make(map[string]net.Listener)
	t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
	})
	after := k.machine.after
	k.machine.after = func(verb, name string) {
		after(verb, name)
		base := "sys/kernel/config/target/" + name + "/"
		parent := filepath.Base(filepath.Dir(name))
		files := ""
		switch {
		case verb == "mkdir" && filepath.Base(name) == "tpgt_1":
			files = `attrib/authentication attrib/generate_node_acls attrib/demo_mode_write_protect attrib/prod_mode_write_protect
				auth/userid auth/password auth/userid_mutual auth/password_mutual dynamic_sessions lun/x np/x acls/x nexus`
			if strings.HasPrefix(name, "iscsi/") {
				files += " enable"
			}
		case verb == "mkdir" && parent == "acls":
			files = "auth/userid auth/password auth/userid_mutual auth/password_mutual info"
		case verb == "mkdir" && parent == "np":
			if l, err := net.Listen("tcp", filepath.Base(name)); err == nil {
				listeners[name] = l
			}
		case verb == "rmdir" && parent == "np" && listeners[name] != nil:
			listeners[name].Close()
		}
		for _, f := range strings.Fields(files) {
			k.file(base+f, "")
		}
	}
	return k
}

// freePortal returns an address at which nothing listens.
func freePortal(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// oneTarget makes a target with one LUN and removes it.
func oneTarget(k *kernel, s ISCSISpec) error {
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		return err
	}
	i, err := k.newISCSI(s)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	if err = i.AddLUN(0, d); err == nil {
		err = i.Enable()
	}
	return errors.Join(err, i.Close(), d.Close())
}

// iscsiOps returns the operations on one target, with short paths.
func iscsiOps(k *kernel, fabric string) (ops []string) {
	for _, op := range k.ops {
		if strings.Contains(op, fabric) && !strings.Contains(op, "> core/") {
			ops = append(ops, strings.ReplaceAll(op, fabric+"/tpgt_1", "TPG"))
		}
	}
	return ops
}

func TestISCSIIsMadeInThisOrder(t *testing.T) {
	k := iscsiKernel(t)
	before := k.snapshot(t)
	p := freePortal(t, "127.0.0.1")
	if err := oneTarget(k, ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{p}}); err != nil {
		t.Fatal(err)
	}
	same(t, iscsiOps(k, "iscsi/"+iqn), []string{
		"mkdir iscsi/" + iqn,
		"mkdir TPG",
		`echo -n "1" > TPG/attrib/generate_node_acls`,
		`echo -n "0" > TPG/attrib/demo_mode_write_protect`,
		`echo -n "0" > TPG/attrib/prod_mode_write_protect`,
		`echo -n "0" > TPG/attrib/authentication`,
		"mkdir TPG/lun/lun_0",
		"link TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"mkdir TPG/np/" + p.String(),
		`echo -n "1" > TPG/enable`,
		// The sessions end before anything is removed.
		`echo -n "0" > TPG/enable`,
		"rmdir TPG/np/" + p.String(),
		"unlink TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"rmdir TPG/lun/lun_0",
		"rmdir TPG",
		"rmdir iscsi/" + iqn,
	})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestISCSIWithACLsIsMadeInThisOrder(t *testing.T) {
	k := iscsiKernel(t)
	before := k.snapshot(t)
	p := freePortal(t, "127.0.0.1")
	s := ISCSISpec{
		IQN:      iqn,
		Portals:  []netip.AddrPort{p},
		Allow:    []string{"iqn.2001-04.com.example:A", "iqn.2001-04.com.example:a", "eui.0123456789abcdef"},
		CHAP:     &CHAP{"joe", "secret of joe", "target", "secret of target"},
		ReadOnly: true,
	}
	if err := oneTarget(k, s); err != nil {
		t.Fatal(err)
	}
	const a, b = "TPG/acls/iqn.2001-04.com.example:a", "TPG/acls/eui.0123456789abcdef"
	same(t, iscsiOps(k, "iscsi/"+iqn), []string{
		"mkdir iscsi/" + iqn,
		"mkdir TPG",
		`echo -n "0" > TPG/attrib/generate_node_acls`,
		`echo -n "1" > TPG/attrib/demo_mode_write_protect`,
		`echo -n "1" > TPG/attrib/prod_mode_write_protect`,
		`echo -n "1" > TPG/attrib/authentication`,
		"mkdir " + a,
		`echo -n "joe" > ` + a + "/auth/userid",
		`echo -n "secret of joe" > ` + a + "/auth/password",
		`echo -n "target" > ` + a + "/auth/userid_mutual",
		`echo -n "secret of target" > ` + a + "/auth/password_mutual",
		"mkdir " + b,
		`echo -n "joe" > ` + b + "/auth/userid",
		`echo -n "secret of joe" > ` + b + "/auth/password",
		`echo -n "target" > ` + b + "/auth/userid_mutual",
		`echo -n "secret of target" > ` + b + "/auth/password_mutual",
		"mkdir TPG/lun/lun_0",
		"link TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"mkdir " + a + "/lun_0",
		"link " + a + "/lun_0/lun",
		"mkdir " + b + "/lun_0",
		"link " + b + "/lun_0/lun",
		"mkdir TPG/np/" + p.String(),
		`echo -n "1" > TPG/enable`,
		`echo -n "0" > TPG/enable`,
		"rmdir TPG/np/" + p.String(),
		// A LUN cannot be removed while an ACL links to it.
		"unlink " + b + "/lun_0/lun",
		"rmdir " + b + "/lun_0",
		"unlink " + a + "/lun_0/lun",
		"rmdir " + a + "/lun_0",
		"unlink TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"rmdir TPG/lun/lun_0",
		"rmdir " + b,
		"rmdir " + a,
		"rmdir TPG",
		"rmdir iscsi/" + iqn,
	})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestISCSIWithoutACLsHasCredentials(t *testing.T) {
	k := iscsiKernel(t)
	i, err := k.newISCSI(ISCSISpec{IQN: iqn, CHAP: &CHAP{User: "joe", Secret: "secret of joe"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"userid": "joe", "password": "secret of joe", "userid_mutual": "", "password_mutual": ""} {
		if got := k.read("sys/kernel/config/target/" + i.tpg + "/auth/" + name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailedISCSILeavesNothing(t *testing.T) {
	failAtEachStepOf(t, iscsiKernel, func(k *kernel) error {
		return oneTarget(k, ISCSISpec{
			IQN:     iqn,
			Portals: []netip.AddrPort{freePortal(t, "127.0.0.1")},
			Allow:   []string{"iqn.2001-04.com.example:a"},
			CHAP:    &CHAP{User: "joe", Secret: "secret of joe"},
		})
	})
}

// failAtEachStepOf is failAtEachStep for other kernels. It also skips failures
// of the removal itself.
func failAtEachStepOf(t *testing.T, kernelOf func(testing.TB) *kernel, f func(*kernel) error) {
	t.Helper()
	for n := 1; ; n++ {
		k := kernelOf(t)
		before := k.snapshot(t)
		k.failAt = n
		err := f(k)
		switch {
		case err == nil && n < 10:
			t.Errorf("step %d does not fail", n)
			return
		case err == nil:
			return
		case strings.Contains(err.Error(), "secret of"):
			t.Errorf("a secret in %v", err)
		case strings.Contains(err.Error(), ": rmdir: "), strings.Contains(err.Error(), ": unlink: "):
			continue
		}
		if after := k.snapshot(t); after != before {
			t.Errorf("after step %d failed (%v), left:\n%s\nwas:\n%s", n, err, after, before)
		}
	}
}

func TestForeignISCSITargetIsNotTouched(t *testing.T) {
	k := iscsiKernel(t)
	k.file("sys/kernel/config/target/iscsi/"+iqn+"/tpgt_1/enable", "1")
	before := k.snapshot(t)
	s := ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{freePortal(t, "127.0.0.1")}}
	if err := k.checkISCSI(s); !errors.Is(err, fs.ErrExist) {
		t.Errorf("check: %v", err)
	}
	if err := oneTarget(k, s); !errors.Is(err, fs.ErrExist) {
		t.Errorf("make: %v", err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestPortalThatDoesNotListenIsAnError(t *testing.T) {
	k := newKernel(t) // does not listen
	p := freePortal(t, "127.0.0.1")
	after := k.machine.after
	k.machine.after = func(verb, name string) {
		after(verb, name)
		if filepath.Base(name) == "tpgt_1" {
			for _, f := range []string{"attrib/generate_node_acls", "attrib/demo_mode_write_protect", "attrib/prod_mode_write_protect", "attrib/authentication", "enable", "lun/x", "np/x"} {
				k.file("sys/kernel/config/target/"+name+"/"+f, "")
			}
		}
	}
	err := oneTarget(k, ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{p}})
	if err == nil || !strings.Contains(err.Error(), p.String()+": the kernel does not listen") {
		t.Errorf("Enable() = %v", err)
	}
}

func TestInitiatorsAreLoggedIn(t *testing.T) {
	k := iscsiKernel(t)
	i, err := k.newISCSI(ISCSISpec{IQN: iqn, Allow: []string{"iqn.2001-04.com.example:a", "iqn.2001-04.com.example:b"}})
	if err != nil {
		t.Fatal(err)
	}
	tpg := "sys/kernel/config/target/" + i.tpg
	k.file(tpg+"/dynamic_sessions", "iqn.2001-04.com.example:d\n\x00iqn.2001-04.com.example:c\n\x00")
	k.file(tpg+"/acls/iqn.2001-04.com.example:a/info", "No active iSCSI Session for Initiator Endpoint: iqn.2001-04.com.example:a\n")
	k.file(tpg+"/acls/iqn.2001-04.com.example:b/info", "InitiatorName: iqn.2001-04.com.example:b\nInitiatorAlias: \n")
	same(t, i.Initiators(), []string{"iqn.2001-04.com.example:b", "iqn.2001-04.com.example:c", "iqn.2001-04.com.example:d"})
}

func TestBadISCSISpecsAreRefused(t *testing.T) {
	p := freePortal(t, "127.0.0.1")
	long := "iqn.2001-04.com.example:" + strings.Repeat("x", 200)
	for _, tt := range []struct {
		spec ISCSISpec
		want string
	}{
		{ISCSISpec{IQN: iqn}, ""},
		{ISCSISpec{IQN: "iqn.1993-08.org.debian:01:1234567890_ab", Allow: []string{"IQN.1991-05.com.Microsoft:PC"}}, ""},
		{ISCSISpec{IQN: "iqn.2001-04.com.example"}, ""},
		{ISCSISpec{IQN: "naa.5001405123456789"}, ""},
		{ISCSISpec{IQN: ""}, ": not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "iqn.2001-13.com.example:x"}, "iqn.2001-13.com.example:x: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "iqn.2001-04.com.example:a/b"}, "iqn.2001-04.com.example:a/b: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "iqn.2001-04.com.example:a\nb"}, "iqn.2001-04.com.example:a\nb: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "iqn.2001-04.com.example:"}, "iqn.2001-04.com.example:: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "naa.50014051234567890"}, "naa.50014051234567890: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: "iqn.2001-04.com.example:X"}, "iqn.2001-04.com.example:X: has upper-case letters, which initiators may change to lower case; try --iqn=iqn.2001-04.com.example:x"},
		{ISCSISpec{IQN: long}, "iqn.2001-04.com.exam…: an iSCSI name has at most 223 bytes, not 224"},
		{ISCSISpec{IQN: iqn, Allow: []string{"../../core"}}, "../../core: not an iSCSI name, such as iqn.2001-04.com.example:disk"},
		{ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{p, p}}, p.String() + ": the portal is given twice"},
		{ISCSISpec{IQN: iqn, CHAP: &CHAP{User: "joe", Secret: "elevenbytes"}}, "the CHAP secret has 11 bytes, and needs at least 12 (Windows initiators take 12 to 16); try openssl rand -base64 12"},
	} {
		got := ""
		if err := iscsiKernel(t).checkISCSI(tt.spec); err != nil {
			got = hint.Text(err)
		}
		if got != tt.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", tt.spec, got, tt.want)
		}
	}
}

func TestBadSecretsAreRefusedAndNotShown(t *testing.T) {
	good := CHAP{"joe", "secret of joe", "target", "secret of target"}
	for want, change := range map[string]func(*CHAP){
		"":                            func(*CHAP) {},
		"the CHAP user is empty":      func(c *CHAP) { c.User = "" },
		"the CHAP secret has 0 bytes": func(c *CHAP) { c.Secret = "" },
		"the CHAP secret has 256 bytes, and may have at most 255": func(c *CHAP) { c.Secret = strings.Repeat("s", 256) },
		"the CHAP secret begins with NULL":                        func(c *CHAP) { c.Secret = "NULL of secrets" },
		"the CHAP user contains a control character":              func(c *CHAP) { c.User = "joe\n" },
		"the mutual CHAP secret has 6 bytes":                      func(c *CHAP) { c.MutualSecret = "secret" },
		"mutual CHAP needs both":                                  func(c *CHAP) { c.MutualSecret = "" },
		"the two CHAP secrets are equal":                          func(c *CHAP) { c.MutualSecret = c.Secret },
	} {
		c := good
		change(&c)
		err := c.Check()
		if (err == nil) != (want == "") || err != nil && (!strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret of")) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestUnusablePortalsAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := netip.MustParseAddrPort(l.Addr().String())
	any := netip.AddrPortFrom(netip.IPv4Unspecified(), busy.Port())
	const theirs = "sys/kernel/config/target/iscsi/iqn.2001-04.com.example:theirs/tpgt_1/np/"
	for _, tt := range []struct {
		name   string
		portal netip.AddrPort
		theirs string
		want   string
	}{
		{name: "in use", portal: busy, want: "address already in use; try ss -ltnp"},
		{name: "in use elsewhere", portal: any, want: "address already in use; try ss -ltnp"},
		{name: "shared", portal: busy, theirs: busy.String()},
		{name: "overlaps", portal: busy, theirs: any.String(), want: "the kernel's target iqn.2001-04.com.example:theirs listens at " + any.String() + "; try --portal=" + any.String()},
		{name: "not ours", portal: netip.MustParseAddrPort("192.0.2.1:3260"), want: "not an address of this machine: cannot assign requested address; try ip address"},
		{name: "no port", portal: netip.MustParseAddrPort("127.0.0.1:0"), want: "127.0.0.1:0: a portal needs a port; try --portal=127.0.0.1:3260"},
		{name: "no link", portal: netip.MustParseAddrPort("[fe80::1%nolink0]:3260"), want: "no such network interface"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKernel(t)
			if tt.theirs != "" {
				k.file(theirs+tt.theirs+"/iser", "0")
			}
			err := k.checkPortal(tt.portal)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(hint.Text(err), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestIQNIsStableAndValid(t *testing.T) {
	dir := t.TempDir()
	one, err := IQN(dir, "target 0")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := IQN(dir+"/.", "target 0"); again != one {
		t.Errorf("%s, then %s", one, again)
	}
	if other, _ := IQN(dir, "target 1"); other == one {
		t.Error("the same for another use")
	}
	for _, host := range []string{"vm", "VM.example.org", "-", "ünïcode", "a_b", strings.Repeat("x", 100)} {
		if name := "iqn.2026-11.io.github.lunserve:" + hostPart(host) + "012345678"; checkName(name) != nil || name != strings.ToLower(name) {
			t.Errorf("%s makes %s", host, name)
		}
	}
}
