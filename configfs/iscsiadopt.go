package configfs

import (
	"fmt"
	"slices"
)

// CheckAdoption returns an error if a target that exists differs from what
// [NewISCSI] would make, except for the secrets. Its initiators would notice, or
// some would have access that the spec does not allow.
func (s ISCSISpec) CheckAdoption() error { return host.checkAdoption(s) }

func (m machine) checkAdoption(s ISCSISpec) error {
	t := &tree{machine: m}
	tpg := "iscsi/" + s.IQN + "/tpgt_1"
	for _, a := range s.attributes() {
		if now := t.get(tpg + "/attrib/" + a.name); t.err != nil {
			return t.err
		} else if now != bit(a.value) {
			return fmt.Errorf("%s: %s is %s, not %s", s.IQN, a.name, now, bit(a.value))
		}
	}
	var portals []string
	for _, p := range s.Portals {
		portals = append(portals, p.String())
	}
	for _, part := range []struct {
		dir, what string
		want      []string
	}{{"acls", "initiator", s.allowed()}, {"np", "portal", portals}} {
		for _, name := range subdirs(t.path(tpg + "/" + part.dir)) {
			if !slices.Contains(part.want, name) {
				return fmt.Errorf("%s: has the %s %s", s.IQN, part.what, name)
			}
		}
	}
	return nil
}
