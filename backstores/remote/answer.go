package remote

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// An answer is part of the image.
type answer struct {
	version
	off  int64 // of the first byte of body
	n    int64 // length of body, if the server sends all that it says
	body io.ReadCloser
	date string
}

// maxSize is 4 PiB, more than any store has in an object.
const maxSize = 1 << 52

// Causes for which another request is of no use.
var (
	errChanged  = errors.New("the image was changed on the server")
	errNoRanges = errors.New("the server ignores Range and sends all of it, so it cannot be read at random")
	errEmpty    = errors.New("is empty")
)

// newAnswer checks a response to a request for n bytes at off. What it cannot be
// used for is an error, and closes the body.
func newAnswer(r *http.Response, off, n int64) (a *answer, err error) {
	defer func() {
		if err != nil {
			r.Body.Close()
		}
	}()
	h := r.Header
	first, last, size, err := contentRange(h.Get("Content-Range"))
	switch r.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		if r.ContentLength == 0 {
			return nil, errEmpty
		}
		return nil, errNoRanges
	case http.StatusPreconditionFailed:
		return nil, errChanged
	case http.StatusRequestedRangeNotSatisfiable:
		if off > 0 {
			return nil, fmt.Errorf("%w: it is shorter", errChanged)
		}
		return nil, errEmpty
	default:
		return nil, newStatusError(r)
	}
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "multipart/byteranges" {
		return nil, errors.New("the server sends several ranges in place of one")
	}
	if c := h.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return nil, errors.New("the server sends it encoded, although asked not to (Content-Encoding)")
	}
	switch {
	case err != nil:
		return nil, err
	case first != off || last >= off+n:
		return nil, fmt.Errorf("asked for bytes %d-%d, the server sends %d-%d", off, off+n-1, first, last)
	case r.ContentLength >= 0 && r.ContentLength != last-first+1:
		return nil, fmt.Errorf("the server says that %d bytes are %d", last-first+1, r.ContentLength)
	}
	return &answer{versionOf(h, size), first, last - first + 1, r.Body, h.Get("Date")}, nil
}

// contentRange parses the Content-Range of a 206 (RFC 9110, Content-Range).
func contentRange(text string) (first, last, size int64, err error) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	number := func(s string) int64 {
		n, bad := strconv.ParseUint(s, 10, 63)
		if bad != nil || s[0] == '+' {
			ok = false
		}
		return int64(n)
	}
	first, last, size = number(from), number(to), number(total)
	if !ok || !ok2 || !ok3 || first > last || last >= size || size > maxSize {
		return 0, 0, 0, errors.New("the server does not say which bytes it sends (Content-Range)")
	}
	return first, last, size, nil
}

// A statusError is a response other than the image.
type statusError struct {
	status int
	code   string // of S3, or empty
	region string // where S3 has the bucket, or empty
	after  string // Retry-After
	date   string
}

// newStatusError reads what it needs of an error response. No text of the server
// gets into a message, since it may repeat the query.
func newStatusError(r *http.Response) *statusError {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<10))
	e := &statusError{status: r.StatusCode, after: r.Header.Get("Retry-After"), date: r.Header.Get("Date")}
	_, rest, _ := strings.Cut(string(body), "<Code>")
	if code, _, ok := strings.Cut(rest, "</Code>"); ok && s3Codes[code] {
		e.code = code
	}
	if region := r.Header.Get("X-Amz-Bucket-Region"); isRegion(region) {
		e.region = region
	}
	return e
}

func (e *statusError) Error() string {
	text := strconv.Itoa(e.status) + " " + http.StatusText(e.status)
	if e.code != "" {
		text += ", " + e.code
	}
	if e.region != "" && e.status < 500 && e.status != http.StatusNotFound {
		text += "; its bucket is in the region " + e.region
	}
	return "the server answers " + strings.TrimSpace(text)
}

// temporary reports whether the same request may succeed later.
func (e *statusError) temporary() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// gone reports whether the target of a redirect may have expired.
func (e *statusError) gone() bool {
	return e.status == http.StatusForbidden || e.status == http.StatusNotFound || e.status == http.StatusGone
}
