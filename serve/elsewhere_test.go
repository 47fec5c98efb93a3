package serve

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/configfs"
)

// What is printed is typed at the other machine, to log in there.
func TestLinesForTheOtherMachine(t *testing.T) {
	const iqn = "iqn.2001-04.com.example:disk"
	const node = "iscsiadm -m node -T " + iqn + " -p 192.0.2.1:3260 "
	at := func(all ...string) *ISCSI {
		o := new(ISCSI)
		for _, p := range all {
			o.Portals = append(o.Portals, netip.MustParseAddrPort(p))
		}
		return o
	}
	discovery := "iscsiadm -m discovery -t sendtargets -p 192.0.2.1:3260"
	login := node + "--login"
	const auth = "-n node.session.auth."
	chap := node + "--op update " + auth + "authmethod -v CHAP " + auth + "username -v 'j oe' " + auth + "password -v SECRET"
	for _, tt := range []struct {
		o    *ISCSI
		c    *configfs.CHAP
		want []string
	}{
		{at("127.0.0.1:3260", "[::1]:3260"), nil, nil},
		{at("127.0.0.1:3260", "192.0.2.1:3260"), nil, []string{discovery, login}},
		{at("192.0.2.1:3260"), &configfs.CHAP{User: "j oe", Secret: "correct-horse"}, []string{discovery, chap, login}},
		{at("192.0.2.1:3260"), &configfs.CHAP{User: "j oe", Secret: "correct-horse", MutualUser: "me", MutualSecret: "battery-staple"},
			[]string{discovery, chap + " " + auth + "username_in -v me " + auth + "password_in -v SECRET2", login}},
	} {
		if got := tt.o.elsewhere(iqn, tt.c); !slices.Equal(got, tt.want) {
			t.Errorf("%v:\n%s", tt.o.Portals, strings.Join(got, "\n"))
		}
	}
	if got := at("0.0.0.0:3260").elsewhere(iqn, nil); len(got) != 2 || strings.Contains(got[0], "0.0.0.0") {
		t.Errorf("at all addresses: %q", got)
	}
}
