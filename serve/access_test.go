package serve

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
)

func TestWhoeverGetsMoreThanAFilesModeIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, public, shared := file("secret.img", 0o600), file("public.img", 0o644), file("shared.img", 0o666)
	here, there := netip.MustParseAddrPort("127.0.0.1:3260"), netip.MustParseAddrPort("192.0.2.1:3260")
	v6 := netip.MustParseAddrPort("[::1]:3260")
	for _, tt := range []struct {
		option ISCSI
		image  openedImage
		want   string
	}{
		{ISCSI{}, openedImage{path: secret, writes: control.InPlace}, "every user of this machine can read and write the disk at 127.0.0.1:3260, though secret.img has mode 0600; try --chap-file FILE"},
		{ISCSI{Allow: []string{"iqn"}}, openedImage{path: secret, writes: control.InPlace}, "every user of this machine can read and write the disk at 127.0.0.1:3260, though secret.img has mode 0600; try --chap-file FILE"},
		{ISCSI{Portals: []netip.AddrPort{v6}}, openedImage{path: secret, writes: control.Refused}, "every user of this machine can read the disk at [::1]:3260, though secret.img has mode 0600; try --chap-file FILE"},
		{ISCSI{}, openedImage{path: public, writes: control.InPlace}, "every user of this machine can read and write the disk at 127.0.0.1:3260, though public.img has mode 0644; try --chap-file FILE"},
		{ISCSI{}, openedImage{path: public, writes: control.Temporary}, ""},
		{ISCSI{}, openedImage{path: public, writes: control.Refused}, ""},
		{ISCSI{}, openedImage{path: shared, writes: control.InPlace}, ""},
		{ISCSI{}, openedImage{path: public, writes: control.Overlay, overlay: secret}, "every user of this machine can read and write the disk at 127.0.0.1:3260, though secret.img has mode 0600; try --chap-file FILE"},
		{ISCSI{}, openedImage{path: public, writes: control.Overlay, overlay: shared}, ""},
		{ISCSI{CHAPFile: "secrets"}, openedImage{path: secret, writes: control.InPlace}, ""},
		{ISCSI{Portals: []netip.AddrPort{here, there}, CHAPFile: "secrets"}, openedImage{path: secret, writes: control.InPlace}, ""},
		{ISCSI{Portals: []netip.AddrPort{here, there}}, openedImage{path: secret, writes: control.InPlace},
			"every machine that reaches 192.0.2.1:3260 can read and write the disk: there is no authentication"},
		{ISCSI{Portals: []netip.AddrPort{there}, Allow: []string{"iqn"}}, openedImage{path: shared, writes: control.Refused},
			"every machine that reaches 192.0.2.1:3260 can claim an allowed name, and read the disk; try --chap-file FILE"},
	} {
		if tt.option.Portals == nil {
			tt.option.Portals = []netip.AddrPort{here}
		}
		readOnly := tt.image.writes == control.Refused
		warnings := tt.option.warnOfOthers(readOnly)
		if err := tt.option.warnOfUsers([]*disk{{image: &tt.image}}, readOnly); err != nil {
			warnings = append(warnings, err)
		}
		var texts []string
		for _, err := range warnings {
			texts = append(texts, strings.ReplaceAll(hint.Text(err), dir+"/", ""))
		}
		if got := strings.Join(texts, "\n"); got != tt.want {
			t.Errorf("%+v, %+v:\n got %s\nwant %s", tt.option, tt.image, got, tt.want)
		}
	}
}
