package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A version is what tells an image from what another time is at its URL.
type version struct {
	size     int64
	etag     string // as sent, perhaps weak
	modified string // Last-Modified, as sent
}

func versionOf(h http.Header, size int64) version {
	return version{size, h.Get("ETag"), h.Get("Last-Modified")}
}

// strong reports whether the entity tag is one by which bytes can be compared
// (RFC 9110, Weak versus Strong).
func (v version) strong() bool {
	return len(v.etag) >= 2 && v.etag[0] == '"' && v.etag[len(v.etag)-1] == '"'
}

// known reports whether a change can be noticed other than by the size.
func (v version) known() bool { return v.strong() || v.modified != "" }

// is reports whether an answer is of this version. The same strong entity tag
// means the same bytes, and an answer without one may be of any version. If there
// is none, all that both have must be the same.
func (v version) is(now version) bool {
	same := func(a, b string) bool { return a == b || a == "" || b == "" }
	switch {
	case now.size != v.size:
		return false
	case v.strong():
		return now.etag == v.etag
	}
	return same(v.etag, now.etag) && v.modified == now.modified
}

// id identifies the image of this URL and version.
func (v version) id(identity string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d", identity, v.etag, v.modified, v.size))
	return hex.EncodeToString(sum[:16])
}

// time returns Last-Modified, or the zero time.
func (v version) time() time.Time {
	t, _ := http.ParseTime(v.modified)
	return t
}

// String describes v for people.
func (v version) String() string {
	var by []string
	if v.strong() {
		by = append(by, "ETag")
	}
	if v.modified != "" {
		by = append(by, "Last-Modified")
	}
	return strings.Join(by, " and ")
}
