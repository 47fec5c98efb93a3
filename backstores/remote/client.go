package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	// stallTime is how long a server may take to answer, with all redirects and the
	// bodies of other answers than the image, and then for each block.
	stallTime = 30 * time.Second
	// dialTime limits a new connection, and the handshake of TLS again.
	dialTime = 10 * time.Second
	// maxRedirects is the limit of browsers and curl(1), roughly.
	maxRedirects = 10
)

// A client asks for ranges of one URL. It is safe for concurrent use.
type client struct {
	transport *http.Transport
	first     *url.URL
	signer    *signer // nil unless the URL is of S3
	netrc     *netrc  // nil without a file
	stall     time.Duration

	mu    sync.Mutex
	final *url.URL // where redirects led, or nil
}

// newClient returns a client for a location. Redirects are not followed by the
// transport, which also adds no secret of a URL to its errors.
func newClient(location string, o Options) (*client, error) {
	first, signer, err := parse(location, o)
	if err != nil {
		return nil, err
	}
	c := &client{first: first, signer: signer, stall: stallTime}
	if o.NetrcFile != "" {
		if c.netrc, err = readNetrc(o.NetrcFile); err != nil {
			return nil, err
		}
	}
	trust, err := authorities(o.CAFile)
	if err != nil {
		return nil, err
	}
	// With HTTP/2 one stalled connection would hold up all requests.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	c.transport = &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: trust},
		TLSHandshakeTimeout:    dialTime,
		ResponseHeaderTimeout:  stallTime,
		IdleConnTimeout:        time.Minute,
		MaxIdleConnsPerHost:    MaxRequests,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		Protocols:              protocols,
	}
	return c, nil
}

// proxy is that of the environment. An error would contain its password.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("HTTP_PROXY or HTTPS_PROXY is not a valid URL")
	}
	return u, nil
}

// authorities returns those of the system and of a file, or nil for those of the
// system alone.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readSetting(file, nil)
	if err != nil {
		return nil, err
	}
	all, err := x509.SystemCertPool()
	if err != nil {
		all = x509.NewCertPool()
	}
	if !all.AppendCertsFromPEM([]byte(text)) {
		return nil, fmt.Errorf("%s: has no certificate in PEM", file)
	}
	return all, nil
}

// get asks for n bytes at off of a version of the image, or of any if that is
// nil. It returns once the header of the answer is there. The body ends with an
// error when ctx is done, or if it comes too slowly.
func (c *client) get(ctx context.Context, off, n int64, v *version) (*answer, error) {
	u, redirected := c.target()
	k := c.signer.current()
	a, err := c.ask(ctx, u, off, n, v)
	if s, ok := errors.AsType[*statusError](err); ok && keysExpired[s.code] && c.signer.renewed(k) {
		a, err = c.ask(ctx, u, off, n, v)
	}
	if err != nil && repeat(err) { // the first URL may lead to another mirror by then
		c.forget(u)
	}
	if s, ok := errors.AsType[*statusError](err); ok && redirected && s.gone() {
		c.forget(u)
		a, err = c.ask(ctx, c.first, off, n, v)
	}
	if err == nil && v != nil && !v.is(a.version) {
		a.body.Close()
		err = errChanged
	}
	return a, err
}

// target returns the URL to ask.
func (c *client) target() (u *url.URL, redirected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final != nil {
		return c.final, true
	}
	return c.first, false
}

// forget has the next request ask the first URL again.
func (c *client) forget(u *url.URL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final == u {
		c.final = nil
	}
}

// ask follows redirects from u, and keeps the URL that answers.
func (c *client) ask(ctx context.Context, u *url.URL, off, n int64, v *version) (a *answer, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall, func() { cancel(errStalled) })
	defer func() {
		if err != nil {
			timer.Stop()
			cancel(nil)
		}
	}()
	for range maxRedirects {
		r, err := c.send(ctx, u, off, n, v)
		if err != nil {
			return nil, err
		}
		switch r.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			if location := r.Header.Get("Location"); location != "" || c.signer == nil {
				io.CopyN(io.Discard, r.Body, 4<<10) // so that the connection can be used again
				r.Body.Close()
				if u, err = follow(u, location); err != nil {
					return nil, err
				}
				continue
			}
		}
		if a, err = newAnswer(r, off, n); err != nil {
			return nil, err
		}
		if u != c.first {
			c.mu.Lock()
			c.final = u
			c.mu.Unlock()
		}
		timer.Reset(c.stall)
		a.body = &body{a.body, ctx, cancel, timer, c.stall, 0}
		return a, nil
	}
	return nil, fmt.Errorf("more than %d redirects", maxRedirects)
}

// send sends one request.
func (c *client) send(ctx context.Context, u *url.URL, off, n int64, v *version) (*http.Response, error) {
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Range":           {"bytes=" + strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(off+n-1, 10)},
		"Accept-Encoding": {"identity"},
		"User-Agent":      {"lunserve"},
	}}
	if v != nil && v.strong() {
		r.Header.Set("If-Match", v.etag)
	}
	if typed := u.Host == c.first.Host; c.netrc != nil && (typed || u.Scheme == "https") {
		if login, password, ok := c.netrc.find(u.Hostname(), typed); ok {
			r.SetBasicAuth(login, password)
		}
	}
	if c.signer.mayBeSent(c.first, u) {
		c.signer.sign(r, time.Now())
	}
	response, err := c.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, failure(ctx, err)
	}
	return response, nil
}

// A body is read as long as each block of it comes in time. A server that sends a
// byte now and then is no better than one that sends nothing.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	n      int // bytes since the timer was set
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.n += n; b.n >= blockBytes {
		b.n = 0
		b.timer.Reset(b.stall)
	}
	if err != nil && err != io.EOF {
		err = failure(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
