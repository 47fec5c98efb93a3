package configfs

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// IQN returns a name for an iSCSI target of the image at path. It is like
// [WWN], but contains the host name.
func IQN(path, use string) (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	sum, err := host.digest(path, "iqn "+use)
	return "iqn.2026-11.io.github.lunserve:" + hostPart(name) + sum[:9], err
}

// hostPart returns the part of a host name that may be in an iSCSI name, with a
// dot after it.
func hostPart(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, host)
	if host == "" {
		return ""
	}
	return host[:min(len(host), 63)] + "."
}

// iscsiName matches the three forms of RFC 7143, 4.2.7 (iSCSI Names). After the
// colon it accepts more than the RFC, because some initiators use it.
var iscsiName = regexp.MustCompile(`^(?i:iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[^/[:cntrl:][:space:]]+)?|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}){1,2})$`)

// CheckISCSIName returns an error if name is not the name of an initiator or a
// target.
func CheckISCSIName(name string) error {
	switch {
	case len(name) > 223:
		return fmt.Errorf("%.20s…: an iSCSI name has at most 223 bytes, not %d", name, len(name))
	case !iscsiName.MatchString(name):
		return fmt.Errorf("%s: not an iSCSI name, such as iqn.2001-04.com.example:disk", name)
	}
	return nil
}
