package configfs

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/lunserve/lunserve/hint"
)

// A CHAP holds the credentials of iSCSI logins.
type CHAP struct {
	User, Secret             string // of the initiator
	MutualUser, MutualSecret string // of the target; empty if only the initiator authenticates
}

// RFC 7143, 12.1.3 (CHAP), requires secrets of 96 bits. The kernel stores at
// most 255 bytes of each value.
const (
	minSecret = 12
	maxSecret = 255
)

// Check returns an error if the kernel or RFC 7143 would not accept c. The
// error contains no secret.
func (c CHAP) Check() error {
	if c.User == "" {
		return errors.New("the CHAP user is empty")
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
		case strings.ContainsFunc(v.value, unicode.IsControl):
			return fmt.Errorf("the %s contains a control character", v.what)
		case strings.HasPrefix(v.value, "NULL"):
			return fmt.Errorf("the %s begins with NULL, which the kernel takes to mean no value", v.what)
		}
	}
	if c.Secret == c.MutualSecret {
		return errors.New("the two CHAP secrets are equal, so each side could impersonate the other")
	}
	return nil
}

// setCHAP writes the credentials to an auth directory, if there are any. The
// kernel would keep a trailing newline as part of them.
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
