package remote

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A signer signs requests to S3 by AWS Signature Version 4. A nil one, and one
// without a key, signs none. It is safe for concurrent use.
type signer struct {
	region string
	read   func() (keys, error) // from their file; nil if they are not in one

	mu   sync.Mutex
	keys keys
}

// keys are those of AWS. The token is for keys that expire.
type keys struct{ id, secret, token string }

// nothing is the SHA-256 of an empty body.
const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// s3Host matches the host of S3, perhaps with a bucket, in a region that it names.
// Other hosts of AWS may be anybody's, such as ec2-192-0-2-1.compute.amazonaws.com.
var s3Host = regexp.MustCompile(`^(?:[a-z0-9.-]+\.)?s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.com(\.cn)?$`)

// mayBeSent reports whether a request to a URL that first redirects to may be
// signed: the token is for the endpoint, and for S3 in other regions.
func (s *signer) mayBeSent(first, to *url.URL) bool {
	return s.current().id != "" && (to.Host == first.Host && to.Scheme == first.Scheme ||
		to.Scheme == "https" && s3Host.MatchString(to.Host) && s3Host.MatchString(first.Host))
}

// sign adds the headers of a signature, for the region of the host, over method,
// path, query, host and the other headers that S3 requires ("Authenticating Requests: Using the
// Authorization Header").
func (s *signer) sign(r *http.Request, now time.Time) {
	k := s.current()
	date := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("X-Amz-Content-Sha256", nothing)
	names := []string{"host", "x-amz-content-sha256", "x-amz-date"}
	if k.token != "" {
		r.Header.Set("X-Amz-Security-Token", k.token)
		names = append(names, "x-amz-security-token")
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + escapeS3(r.URL.Path) + "\n" + strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n")
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical.WriteString(name + ":" + value + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + nothing)

	region := s.region
	if m := s3Host.FindStringSubmatch(r.URL.Host); m != nil {
		region = m[1]
	}
	scope := date[:8] + "/" + region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + k.secret)
	for _, part := range []string{date[:8], region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+k.id+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(signature))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// escapeS3 escapes a path as S3 does: everything but unreserved characters and
// slashes.
func escapeS3(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
