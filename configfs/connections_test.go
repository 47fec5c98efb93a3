package configfs

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The connections are real. The remote end leaves the list as soon as it is
// closed, before the local end notices.
func TestConnectionsToPortals(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			portal := netip.MustParseAddrPort(l.Addr().String())
			anywhere := netip.AddrPortFrom(netip.IPv4Unspecified(), portal.Port())
			if portal.Addr().Is6() {
				anywhere = netip.AddrPortFrom(netip.IPv6Unspecified(), portal.Port())
			}
			elsewhere := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), portal.Port())
			dial := func() (net.Conn, netip.AddrPort) {
				c, err := net.Dial("tcp", portal.String())
				if err != nil {
					t.Fatal(err)
				}
				return c, netip.MustParseAddrPort(c.LocalAddr().String())
			}
			are := func(portals []netip.AddrPort, want ...netip.AddrPort) {
				t.Helper()
				got, err := Connections(portals)
				slices.SortFunc(got, netip.AddrPort.Compare)
				slices.SortFunc(want, netip.AddrPort.Compare)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("connections to %v: %v, %v; want %v", portals, got, err, want)
				}
			}
			are([]netip.AddrPort{portal})
			c, one := dial()
			d, two := dial()
			defer d.Close()
			are([]netip.AddrPort{elsewhere, portal}, one, two)
			are([]netip.AddrPort{anywhere}, one, two)
			are([]netip.AddrPort{elsewhere})
			are(nil)
			c.Close()
			are([]netip.AddrPort{portal}, two)
		})
	}
}

// A portal is found among the sockets that listen only there, as the kernel's does.
func TestSocketThatListensIsFound(t *testing.T) {
	for _, at := range []string{"127.0.0.1", "[::1]", "0.0.0.0", "[::]"} {
		network := "tcp4"
		if strings.HasPrefix(at, "[") {
			network = "tcp6"
		}
		l, err := net.Listen(network, at+":0")
		if err != nil {
			t.Fatal(err)
		}
		portal := netip.MustParseAddrPort(l.Addr().String())
		if is, err := host.listens(portal); err != nil || !is {
			t.Errorf("nothing listens at %v: %v", portal, err)
		}
		if is, err := host.listens(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), portal.Port())); err != nil || is {
			t.Errorf("something listens beside %v: %v", portal, err)
		}
		l.Close()
		if is, err := host.listens(portal); err != nil || is {
			t.Errorf("something still listens at %v: %v", portal, err)
		}
	}
}

func TestUnreadableConnectionsAreAnError(t *testing.T) {
	portals := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:3260")}
	const head = "  sl  local_address rem_address   st\n"
	for _, tt := range []struct{ name, tcp, tcp6, want string }{
		{name: "none", tcp: head, tcp6: head},
		{name: "no IPv6", tcp: head},
		{name: "one", tcp: head + "   0: 0100007F:0CBC 0100007F:D431 01 more\n", tcp6: head, want: "127.0.0.1:54321"},
		{name: "one that listens", tcp: head + "   0: 0100007F:0CBC 00000000:0000 0A more\n"},
		{name: "mapped", tcp: head, tcp6: head + "   0: 0000000000000000FFFF00000100007F:0CBC 0000000000000000FFFF00000200007F:D431 01\n", want: "127.0.0.2:54321"},
		{name: "no table", want: "no such file"},
		{name: "short line", tcp: head + "   0: 0100007F:0CBC\n", want: "line 2"},
		{name: "no address", tcp: head + "   0: 0100007F:0CBC 010000:D431 01\n", want: "is not a socket address"},
		{name: "no port", tcp: head + "   0: 0100007F:0CBC 0100007F:10000 01\n", want: "is not a socket address"},
		{name: "no hex", tcp: head + "   0: 0100007G:0CBC 0100007F:1000 01\n", want: "is not a socket address"},
	} {
		k := newKernel(t)
		if tt.tcp != "" {
			k.file("proc/net/tcp", tt.tcp)
		}
		if tt.tcp6 != "" {
			k.file("proc/net/tcp6", tt.tcp6)
		}
		got, err := k.connections(portals)
		said := ""
		for _, c := range got {
			said += c.String()
		}
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.want)
		}
	}
}
