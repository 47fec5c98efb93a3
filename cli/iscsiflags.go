package cli

import (
	"net/netip"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
)

// iscsiFlags apply only with --iscsi or --userspace.
type iscsiFlags struct {
	IQN      targetName      `name:"iqn" placeholder:"IQN" help:"Target name. The default is derived from this machine and the path of the first image."`
	Portal   []portal        `placeholder:"ADDR[:PORT]" sep:"none" help:"Address to listen on; may be repeated. IPv6 addresses are in brackets. Default: 127.0.0.1:3260."`
	CHAPFile string          `name:"chap-file" placeholder:"FILE" complete:"file" help:"Require CHAP. FILE has one value per line: user name, secret and, for mutual CHAP, the target's user name and secret."`
	Allow    []initiatorName `placeholder:"IQN" sep:"none" help:"Allow only the initiator with this name to log in; may be repeated."`
	Open     bool            `help:"Allow anyone to log in at an address that other machines can reach."`
}

// first returns the first of the flags that is set, or "".
func (f *iscsiFlags) first() string {
	switch {
	case f.IQN != "":
		return "--iqn"
	case len(f.Portal) > 0:
		return "--portal"
	case f.CHAPFile != "":
		return "--chap-file"
	case len(f.Allow) > 0:
		return "--allow"
	case f.Open:
		return "--open"
	}
	return ""
}

// iscsi returns the options of the iSCSI target, or nil if there is none.
func (f *targetFlags) iscsi(readOnly bool) (*serve.ISCSI, error) {
	if f.Userspace && (f.Loopback || f.Vhost) {
		return nil, misuse("--userspace serves only iSCSI; leave out --loopback and --vhost")
	}
	if !f.ISCSI && !f.Userspace {
		if flag := f.first(); flag != "" {
			return nil, hint.Try(misuse("%s needs --iscsi", flag), "--iscsi")
		}
		return nil, nil
	}
	o := &serve.ISCSI{IQN: string(f.IQN), CHAPFile: f.CHAPFile}
	for _, name := range f.Allow {
		o.Allow = append(o.Allow, string(name))
	}
	for _, p := range f.Portal {
		o.Portals = append(o.Portals, netip.AddrPort(p))
	}
	if len(o.Portals) == 0 {
		o.Portals = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:3260")}
	}
	if open := o.OpenPortals(); len(open) > 0 && !f.Open {
		return nil, hint.With(misuse("%s: every machine that reaches this address could %s", open[0], serve.Access(readOnly)),
			hint.Command{Words: []string{"--chap-file", "FILE"}}, hint.Command{Words: []string{"--allow", "IQN"}},
			hint.Command{Words: []string{"--open"}, Purpose: "to allow that"})
	}
	return o, nil
}
