package serve

import (
	"net/netip"
	"slices"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// An offering is a fabric that other machines may reach.
type offering interface {
	// elsewhere returns the lines to type on another machine.
	elsewhere() []string
}

func (f *kernelISCSI) elsewhere() []string { return f.options.elsewhere(f.spec.IQN, f.spec.CHAP) }
func (f *userspace) elsewhere() []string {
	return f.options.elsewhere(f.target.Name, (*configfs.CHAP)(f.target.CHAP))
}

// elsewhere returns the lines of iscsiadm(8) by which another machine finds the target
// and logs in to it, with a word in the place of a secret. There are none if only this
// machine reaches it.
func (o *ISCSI) elsewhere(iqn string, c *configfs.CHAP) (all []string) {
	i := slices.IndexFunc(o.Portals, func(p netip.AddrPort) bool { return !p.Addr().IsLoopback() })
	if i < 0 {
		return nil
	}
	portal := o.Portals[i]
	if portal.Addr().IsUnspecified() {
		portal = reachable(portal)
	}
	node := []string{"iscsiadm", "-m", "node", "-T", iqn, "-p", portal.String()}
	add := func(words ...string) { all = append(all, hint.Quote(words...)) }
	add("iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", portal.String())
	if c != nil {
		const auth = "node.session.auth."
		words := append(slices.Clone(node), "--op", "update", "-n", auth+"authmethod", "-v", "CHAP", "-n", auth+"username", "-v", c.User, "-n", auth+"password", "-v", "SECRET")
		if c.MutualUser != "" {
			words = append(words, "-n", auth+"username_in", "-v", c.MutualUser, "-n", auth+"password_in", "-v", "SECRET2")
		}
		add(words...)
	}
	add(append(node, "--login")...)
	return all
}

// sayElsewhere prints the lines to type on another machine.
func (s *service) sayElsewhere() {
	for _, f := range s.fabrics {
		o, is := f.(offering)
		if !is {
			continue
		}
		for _, line := range o.elsewhere() {
			s.console.Say("on the other machine: %s", line)
		}
	}
}
