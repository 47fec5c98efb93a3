package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/configfs"
)

// iscsiFlags are the flags that mean something with --iscsi only.
type iscsiFlags struct {
	IQN      string   `name:"iqn" placeholder:"IQN" help:"The target's name. By default one that is the same for the same image and machine."`
	Portal   []portal `placeholder:"ADDR[:PORT]" sep:"none" help:"Where to listen, an address of this machine; may be repeated. IPv6 in brackets. By default 127.0.0.1:3260."`
	CHAPFile string   `name:"chap-file" placeholder:"FILE" complete:"file" help:"Who logs in must prove to know what FILE says, by lines: a user, a secret, and for mutual CHAP the target's user and secret."`
	Allow    []string `placeholder:"IQN" sep:"none" help:"Let only the initiator of this name log in; may be repeated."`
	Open     bool     `help:"Let everybody log in at an address that other machines reach."`
}

// first is the first of the flags that is given.
func (c iscsiFlags) first() string {
	switch {
	case c.IQN != "":
		return "--iqn"
	case len(c.Portal) > 0:
		return "--portal"
	case c.CHAPFile != "":
		return "--chap-file"
	case len(c.Allow) > 0:
		return "--allow"
	case c.Open:
		return "--open"
	}
	return ""
}

// fabric is the fabric that the flags ask for.
func (c iscsiFlags) fabric(image string, readOnly bool) (*iscsi, error) {
	f := &iscsi{image: image, named: c.IQN != "", spec: configfs.ISCSISpec{IQN: c.IQN, Allow: c.Allow, ReadOnly: readOnly}}
	for _, p := range c.Portal {
		f.spec.Portals = append(f.spec.Portals, netip.AddrPort(p))
	}
	if len(c.Portal) == 0 {
		f.spec.Portals = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:3260")}
	}
	if c.CHAPFile != "" {
		chap, err := readCHAP(c.CHAPFile)
		if err != nil {
			return nil, err
		}
		f.spec.CHAP = chap
	}
	for _, p := range f.spec.Portals {
		if p.Addr().IsLoopback() || f.spec.CHAP != nil || len(f.spec.Allow) > 0 {
			continue
		}
		if !c.Open {
			return nil, misuse("%s: whoever reaches this address could %s; try --chap-file FILE, --allow IQN, or --open if that is meant", p, f.could())
		}
		warn("whoever reaches %s can %s, since there is no authentication", p, f.could())
	}
	return f, nil
}

// iscsi is the fabric that makes an iSCSI target.
type iscsi struct {
	image  string // the first
	named  bool   // by the user
	spec   configfs.ISCSISpec
	target *configfs.ISCSI
}

// could is what an initiator does with the disks.
func (f *iscsi) could() string {
	if f.spec.ReadOnly {
		return "read the disk"
	}
	return "read and write the disk"
}

func (f *iscsi) kind() string { return "iscsi" }

// check settles the target's name, too.
func (f *iscsi) check() error {
	if f.named {
		return f.spec.Check()
	}
	return unnamed(f.image, func(n int) (err error) {
		if f.spec.IQN, err = configfs.IQN(f.image, fmt.Sprint("target ", n)); err != nil {
			return err
		}
		return f.spec.Check()
	})
}

func (f *iscsi) up(_ context.Context, exports []*export, down *undo) (err error) {
	if f.target, err = configfs.NewISCSI(f.spec); err != nil {
		return err
	}
	down.push(f.target.Close)
	at := f.spec.Portals[0].String()
	if f.spec.Portals[0].Addr().IsUnspecified() {
		at = reachable(f.spec.Portals[0]).String()
	}
	for n, x := range exports {
		if err := f.target.AddLUN(n, x.device); err != nil {
			return err
		}
		x.portal, x.iqn = at, f.spec.IQN
	}
	if err := f.target.Enable(); err != nil {
		return err
	}
	if len(f.spec.Portals) > 1 {
		var all []string
		for _, p := range f.spec.Portals {
			all = append(all, p.String())
		}
		say("%s: at %s", f.spec.IQN, strings.Join(all, ", "))
	}
	return nil
}

func (f *iscsi) users(*export) (all []user) {
	for _, name := range f.target.Initiators() {
		all = append(all, user{f.spec.IQN + " is used by " + name, true})
	}
	return all
}

// nexuses records the connections, and returns a function that reports whether
// any of them remains: a session has one, unless its initiator asks for more. If
// they cannot be read, it reports true.
func (f *iscsi) nexuses() (remain func() bool) {
	then, err := configfs.Connections(f.spec.Portals)
	return func() bool {
		now, err2 := configfs.Connections(f.spec.Portals)
		return err != nil || err2 != nil ||
			slices.ContainsFunc(then, func(c netip.AddrPort) bool { return slices.Contains(now, c) })
	}
}
