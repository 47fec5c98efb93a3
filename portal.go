package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// A portal is an address and a port on the command line. Names of hosts are
// none, since one may stand for several addresses.
type portal netip.AddrPort

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *portal) UnmarshalText(text []byte) error {
	s := string(text)
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		host, bracketed := strings.CutPrefix(s, "[")
		if bracketed {
			host, bracketed = strings.CutSuffix(host, "]")
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Is6() != bracketed {
			return fmt.Errorf("%q is no address with a port; try 192.0.2.1:3260 or [2001:db8::1]:3260", s)
		}
		addr = netip.AddrPortFrom(ip, 3260)
	}
	*p = portal(netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	return nil
}

// reachable is where other machines reach a portal that listens at all
// addresses: at the first that is good for more than this machine, or else at
// that of this machine alone.
func reachable(p netip.AddrPort) netip.AddrPort {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() && ip.Unmap().Is4() == p.Addr().Is4() {
			return netip.AddrPortFrom(ip.Unmap(), p.Port())
		}
	}
	if p.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), p.Port())
}
