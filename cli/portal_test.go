package cli

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

// What is accepted is one address and a port that read back the same. What is
// refused is named.
func FuzzPortal(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.1", "192.0.2.1:3260", "[2001:db8::1]", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:3260", "[fe80::1%eth0]", "[fe80::1%a/../b]:1",
		"", ":", "::1", "[::1", "[]:1", "[192.0.2.1]", "[192.0.2.1", "[", "[::1]:0", "192.0.2.1:", "192.0.2.1:65536", "localhost:3260", "1\x1b[2J", "[::%]:0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p portal
		err := p.UnmarshalText([]byte(text))
		if err != nil {
			said := strings.HasSuffix(err.Error(), "is not an address with a port") || strings.HasSuffix(err.Error(), "has no port")
			if hint.Visible(err.Error()) != err.Error() || !said {
				t.Fatalf("%q: %q", text, err)
			}
			return
		}
		addr := netip.AddrPort(p)
		again, err := netip.ParseAddrPort(addr.String())
		if !addr.IsValid() || addr.Addr().Is4In6() || err != nil || again != addr {
			t.Fatalf("%q is %v, which reads back as %v, %v", text, addr, again, err)
		}
		if strings.HasPrefix(text, "[") != strings.Contains(text, "]") {
			t.Fatalf("%q is accepted as %v", text, addr)
		}
	})
}
