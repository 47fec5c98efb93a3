package configfs

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// An ISCSISpec describes an [ISCSI] target.
type ISCSISpec struct {
	IQN      string           // its name, from [IQN] or the user
	Portals  []netip.AddrPort // where it listens
	Allow    []string         // the initiators that may log in; all, if empty
	CHAP     *CHAP            // required at each login, unless nil
	ReadOnly bool             // for all initiators
}

// Check finds errors before anything is made. If another target has the name,
// the error is [fs.ErrExist].
func (s ISCSISpec) Check() error { return host.checkISCSI(s) }

func (m machine) checkISCSI(s ISCSISpec) error {
	if err := CheckISCSIName(s.IQN); err != nil {
		return err
	}
	if lower := strings.ToLower(s.IQN); lower != s.IQN {
		return hint.Try(fmt.Errorf("%s: has upper-case letters, which initiators may change to lower case", s.IQN), "--iqn="+lower)
	}
	for _, name := range s.Allow {
		if err := CheckISCSIName(name); err != nil {
			return err
		}
	}
	if s.CHAP != nil {
		if err := s.CHAP.Check(); err != nil {
			return err
		}
	}
	if exists(m.configfs(), "target/iscsi", s.IQN) {
		return hint.With(fmt.Errorf("%s: the kernel has a target with this name: %w", s.IQN, fs.ErrExist),
			hint.Command{Words: []string{"--iqn", "IQN"}, Purpose: "for another name"},
			hint.Command{Words: []string{"targetcli", "ls", "/iscsi"}})
	}
	for i, p := range s.Portals {
		if slices.Contains(s.Portals[:i], p) {
			return fmt.Errorf("%s: the portal is given twice", p)
		}
		if err := m.checkPortal(p); err != nil {
			return err
		}
	}
	return nil
}

// An ISCSI is an iSCSI target of the kernel. It is not safe for concurrent use.
type ISCSI struct {
	tree *tree
	spec ISCSISpec
	tpg  string // iscsi/iqn.…/tpgt_1

	enabled bool
}

// NewISCSI makes a target without LUNs, which does not listen yet. If another
// target has the name, the error is [fs.ErrExist].
func NewISCSI(s ISCSISpec) (*ISCSI, error) { return host.newISCSI(s) }

// AdoptISCSI is NewISCSI for a target of a dead process, whose initiators stay
// logged in. It must have been made for the same spec, except for the secrets.
func AdoptISCSI(s ISCSISpec) (*ISCSI, error) {
	return makeISCSI(&tree{machine: host, adopting: true}, s)
}

func (m machine) newISCSI(s ISCSISpec) (*ISCSI, error) { return makeISCSI(&tree{machine: m}, s) }

func makeISCSI(t *tree, s ISCSISpec) (*ISCSI, error) {
	if err := CheckISCSIName(s.IQN); err != nil { // it becomes a path
		return nil, err
	}
	target := "iscsi/" + s.IQN
	i := &ISCSI{tree: t, spec: s, tpg: target + "/tpgt_1"}

	t.mkdirShared("iscsi", target)
	t.mkdir(i.tpg)
	for _, a := range s.attributes() {
		t.set(i.tpg+"/attrib/"+a.name, bit(a.value))
	}
	if len(s.Allow) == 0 {
		t.setCHAP(i.tpg+"/auth", s.CHAP)
	}
	for _, name := range s.allowed() {
		if err := CheckISCSIName(name); t.err == nil {
			t.err = err
		}
		t.mkdir(i.acl(name))
		t.setCHAP(i.acl(name)+"/auth", s.CHAP)
	}
	if t.err != nil {
		return nil, t.fail()
	}
	return i, nil
}

// An attribute of a target group is on or off.
type attribute struct {
	name  string
	value bool
}

// attributes are those that a target is made with. LIO calls it demo mode when
// initiators without an ACL may log in.
func (s ISCSISpec) attributes() []attribute {
	return []attribute{
		{"generate_node_acls", len(s.Allow) == 0},
		{"demo_mode_write_protect", s.ReadOnly},
		{"prod_mode_write_protect", s.ReadOnly},
		{"authentication", s.CHAP != nil},
	}
}

// allowed returns the initiators with an ACL. At a login the kernel changes the
// initiator's name to lower case.
func (s ISCSISpec) allowed() (names []string) {
	for _, name := range s.Allow {
		if lower := strings.ToLower(name); !slices.Contains(names, lower) {
			names = append(names, lower)
		}
	}
	return names
}

func (i *ISCSI) acl(name string) string { return i.tpg + "/acls/" + name }

// AddLUN makes dev the LUN n for all initiators that may log in. After an error
// only Close may be called.
func (i *ISCSI) AddLUN(n int, dev *Device) error {
	t := i.tree.lun(n)
	defer func() { i.tree.err = t.err }()
	lun := fmt.Sprintf("%s/lun/lun_%d", i.tpg, n)
	t.mkdir(lun)
	t.link(dev.name, lun+"/"+filepath.Base(dev.name))
	for _, name := range i.spec.allowed() {
		mapped := fmt.Sprintf("%s/lun_%d", i.acl(name), n)
		t.mkdir(mapped)
		t.link(lun, mapped+"/lun")
	}
	return t.err
}

// Enable admits initiators. When it returns, they can log in. The rings must be
// served from here until Close has returned.
func (i *ISCSI) Enable() error {
	t := i.tree
	for _, p := range i.spec.Portals {
		t.mkdir(i.tpg + "/np/" + p.String())
	}
	enable := i.tpg + "/enable"
	t.set(enable, "1")
	if t.err == nil {
		// It is undone first, so that nothing is removed that an initiator still
		// uses.
		i.enabled = true
		t.push(i.Disable)
	}
	for _, p := range i.spec.Portals {
		if t.err == nil {
			t.err = t.checkListening(p)
		}
	}
	return t.err
}

// Disable ends the sessions, after their commands are completed, and admits no
// others. A second Disable does nothing.
func (i *ISCSI) Disable() error {
	if !i.enabled {
		return nil
	}
	i.enabled = false
	return i.tree.op("write", i.tpg+"/enable", func(path string) error { return write(path, "0") })
}

// RemoveLUN removes the LUN n. It may be called for several LUNs at the same time,
// and during Disable.
func (i *ISCSI) RemoveLUN(n int) error { return i.tree.removeLUN(n) }

// Initiators returns the names of the initiators that are logged in.
func (i *ISCSI) Initiators() []string { return i.tree.initiators(i.tpg) }

// initiators returns the names of the initiators that are logged in to a target
// group. Those without an ACL are dynamic.
func (m machine) initiators(tpg string) (names []string) {
	dir := filepath.Join(m.configfs(), "target", tpg)
	dynamic, _ := readAttribute(dir, "dynamic_sessions")
	names = strings.FieldsFunc(dynamic, func(r rune) bool { return r == 0 || r == '\n' })
	for _, name := range subdirs(dir + "/acls") {
		info, _ := readAttribute(dir, "acls", name, "info")
		if strings.HasPrefix(info, "InitiatorName:") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Close ends the sessions and removes the target. It waits for commands in
// flight. If a ring is not served, that takes the command timeout of its
// Device, unless [Device.Reset] was called. A second Close does nothing.
func (i *ISCSI) Close() error { return i.tree.Close() }

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
