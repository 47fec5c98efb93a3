package cli

import (
	"fmt"
	"net/netip"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
)

// iscsiFlags apply only with --iscsi.
type iscsiFlags struct {
	IQN      string   `name:"iqn" placeholder:"IQN" help:"Target name. The default is derived from this machine and the path of the first image."`
	Portal   []portal `placeholder:"ADDR[:PORT]" sep:"none" help:"Address to listen on; may be repeated. IPv6 addresses are in brackets. Default: 127.0.0.1:3260."`
	CHAPFile string   `name:"chap-file" placeholder:"FILE" complete:"file" help:"Require CHAP. FILE has one value per line: user name, secret and, for mutual CHAP, the target's user name and secret."`
	Allow    []string `placeholder:"IQN" sep:"none" help:"Allow only the initiator with this name to log in; may be repeated."`
	Open     bool     `help:"Allow anyone to log in at an address that other machines can reach."`
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

// iscsi returns the options of the target, or nil without --iscsi.
func (f *targetFlags) iscsi(readOnly bool, con *console.Console) (*serve.ISCSI, error) {
	if !f.ISCSI {
		if flag := f.first(); flag != "" {
			return nil, hint.Try(misuse("%s needs --iscsi", flag), "--iscsi")
		}
		return nil, nil
	}
	o := &serve.ISCSI{IQN: f.IQN, Allow: f.Allow}
	for _, p := range f.Portal {
		o.Portals = append(o.Portals, netip.AddrPort(p))
	}
	if len(o.Portals) == 0 {
		o.Portals = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:3260")}
	}
	if f.CHAPFile != "" {
		chap, err := readCHAP(f.CHAPFile)
		if err != nil {
			return nil, err
		}
		o.CHAP = chap
	}
	access := "read and write the disk"
	if readOnly {
		access = "read the disk"
	}
	for _, p := range o.Portals {
		if p.Addr().IsLoopback() || o.CHAP != nil || len(o.Allow) > 0 {
			continue
		}
		if !f.Open {
			return nil, hint.With(misuse("%s: every machine that reaches this address could %s", p, access),
				hint.Command{Words: []string{"--chap-file", "FILE"}}, hint.Command{Words: []string{"--allow", "IQN"}},
				hint.Command{Words: []string{"--open"}, Purpose: "to allow that"})
		}
		con.Warn(fmt.Errorf("every machine that reaches %s can %s: there is no authentication", p, access))
	}
	return o, nil
}
