package cli

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A portal is an address and a port on the command line. Host names are refused:
// one may stand for several addresses.
type portal netip.AddrPort

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *portal) UnmarshalText(text []byte) error {
	s := string(text)
	addr, err := netip.ParseAddrPort(s)
	if err == nil && addr.Port() == 0 {
		return hint.Try(fmt.Errorf("%q has no port", s), netip.AddrPortFrom(addr.Addr(), 3260).String())
	}
	if err != nil {
		host, bracketed := s, strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]")
		if bracketed {
			host = s[1 : len(s)-1]
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Is6() != bracketed {
			return hint.With(fmt.Errorf("%q is not an address with a port", s),
				hint.Command{Words: []string{"127.0.0.1:3260"}}, hint.Command{Words: []string{"[::1]:3260"}})
		}
		addr = netip.AddrPortFrom(ip, 3260)
	}
	*p = portal(netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	return nil
}
