package configfs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A CHAP is what initiators and a target prove to each other that they know,
// at each login.
type CHAP struct {
	User, Secret             string // the initiator's
	MutualUser, MutualSecret string // the target's; empty if it need not prove anything
}

// Secrets have at least 12 bytes: RFC 7143, 12.1.3 (CHAP), asks for 96 bits.
// The kernel has room for 255 of each.
const (
	minSecret = 12
	maxSecret = 255
)

// Check tells what is wrong, without giving anything away.
func (c CHAP) Check() error {
	if c.User == "" {
		return errors.New("the CHAP user has no name")
	}
	if (c.MutualUser == "") != (c.MutualSecret == "") {
		return errors.New("mutual CHAP needs both a user and a secret")
	}
	for _, v := range []struct{ what, value string }{
		{"CHAP user", c.User},
		{"CHAP secret", c.Secret},
		{"mutual CHAP user", c.MutualUser},
		{"mutual CHAP secret", c.MutualSecret},
	} {
		secret := strings.HasSuffix(v.what, "secret") && (v.value != "" || v.what == "CHAP secret")
		switch {
		case secret && len(v.value) < minSecret:
			return hint.Try(fmt.Errorf("the %s has %d bytes, and needs at least %d (Windows initiators take 12 to 16)", v.what, len(v.value), minSecret),
				"openssl", "rand", "-base64", "12")
		case len(v.value) > maxSecret:
			return fmt.Errorf("the %s has %d bytes, and may have at most %d", v.what, len(v.value), maxSecret)
		case strings.ContainsAny(v.value, "\x00\r\n"):
			return fmt.Errorf("the %s has an end of line or a zero in it", v.what)
		case strings.HasPrefix(v.value, "NULL"):
			return fmt.Errorf("the %s begins with NULL, which the kernel takes for none", v.what)
		}
	}
	if c.Secret == c.MutualSecret {
		return errors.New("the two CHAP secrets are the same, with which either side could pose as the other")
	}
	return nil
}

// chap gives the kernel the secrets, if there are any. It keeps newlines.
func (t *tree) setCHAP(dir string, c *CHAP) {
	if c == nil {
		return
	}
	t.set(dir+"/userid", c.User)
	t.set(dir+"/password", c.Secret)
	if c.MutualUser != "" {
		t.set(dir+"/userid_mutual", c.MutualUser)
		t.set(dir+"/password_mutual", c.MutualSecret)
	}
}
