package remote

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// signs reports whether a parameter is part of a signature, of AWS, Google, CloudFront
// or Azure. Without one of these names a token counts as part of the URL.
func signs(parameter string) bool {
	for _, prefix := range []string{"x-amz-", "x-goog-"} {
		if strings.HasPrefix(strings.ToLower(parameter), prefix) {
			return true
		}
	}
	switch parameter {
	case "AWSAccessKeyId", "GoogleAccessId", "Expires", "Signature", "Key-Pair-Id", "Policy",
		"sig", "se", "st", "sp", "sr", "sv", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv":
		return true
	}
	return false
}

// expiry returns when a presigned URL expires. The parameters are those of AWS
// Signature Version 4 and its imitation by Google, of version 2 and CloudFront,
// and of Azure.
func expiry(u *url.URL) (at time.Time, presigned bool) {
	q := u.Query()
	for _, prefix := range []string{"X-Amz-", "X-Goog-"} {
		signed, err := time.Parse("20060102T150405Z", q.Get(prefix+"Date"))
		seconds, err2 := strconv.ParseUint(q.Get(prefix+"Expires"), 10, 31)
		if err == nil && err2 == nil {
			return signed.Add(time.Duration(seconds) * time.Second), true
		}
	}
	if seconds, err := strconv.ParseUint(q.Get("Expires"), 10, 40); err == nil && q.Has("Signature") {
		return time.Unix(int64(seconds), 0), true
	}
	if at, err := time.Parse(time.RFC3339, q.Get("se")); err == nil && q.Has("sig") {
		return at, true
	}
	return at, false
}
