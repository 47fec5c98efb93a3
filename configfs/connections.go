package configfs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Connections returns the peers of the TCP connections to portals. The kernel
// does not show the sessions of an iSCSI target in a way that distinguishes two
// of one initiator, but each session begins and ends with a connection of its
// own. Connections to other targets at the same portals are included.
func Connections(portals []netip.AddrPort) (peers []netip.AddrPort, err error) {
	return host.connections(portals)
}

func (m machine) connections(portals []netip.AddrPort) (peers []netip.AddrPort, err error) {
	sockets, err := m.sockets("01") // TCP_ESTABLISHED of include/net/tcp_states.h
	for _, s := range sockets {
		if slices.ContainsFunc(portals, func(p netip.AddrPort) bool {
			return p.Port() == s.local.Port() && (p.Addr().IsUnspecified() || p.Addr().WithZone("") == s.local.Addr())
		}) {
			peers = append(peers, s.remote)
		}
	}
	return peers, err
}

// listens reports whether a socket listens at a portal, if it can be seen.
func (m machine) listens(p netip.AddrPort) (bool, error) {
	sockets, err := m.sockets("0A") // TCP_LISTEN
	return slices.ContainsFunc(sockets, func(s tcpSocket) bool {
		return p.Port() == s.local.Port() && p.Addr().WithZone("") == s.local.Addr()
	}), err
}

// A tcpSocket is one of this machine.
type tcpSocket struct{ local, remote netip.AddrPort }

// sockets returns the sockets in a state.
func (m machine) sockets(state string) (all []tcpSocket, err error) {
	for _, table := range []string{"tcp", "tcp6"} {
		name := filepath.Join(m.proc, "net", table)
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && table == "tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if n++; n == 1 {
				continue // column titles
			}
			// "0: LOCAL REMOTE STATE …" (Documentation/networking/proc_net_tcp.rst)
			f := strings.Fields(line)
			if len(f) < 4 {
				return nil, fmt.Errorf("%s: line %d: %q", name, n, line)
			}
			if f[3] != state {
				continue
			}
			local, err := socketAddress(f[1])
			remote, err2 := socketAddress(f[2])
			if err := errors.Join(err, err2); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", name, n, err)
			}
			all = append(all, tcpSocket{local, remote})
		}
	}
	return all, nil
}

// socketAddress parses an address of /proc/net/tcp: the 32-bit words of an IP
// address as numbers in host byte order, which is little-endian here.
func socketAddress(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if len(b)%4 == 0 {
		for word := range slices.Chunk(b, 4) {
			slices.Reverse(word)
		}
	}
	ip, ok := netip.AddrFromSlice(b)
	if err != nil || err2 != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is not a socket address", s)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}
