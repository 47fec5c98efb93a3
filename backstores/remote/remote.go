// Package remote reads a file on a web server or in an object store at any
// offset.
//
// It asks for ranges (RFC 9110, Range Requests), by GET alone: a presigned URL
// answers nothing else. All that it returns is of one version of the file, and a
// change is an error. It knows nothing of what the file holds. The formats read
// it as they read a local file.
//
// No message contains a URL: its query may be a secret. See [Name].
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/hint"
)

// Options say how to open a URL.
type Options struct {
	S3Endpoint string // of s3://; empty: that of AWS_ENDPOINT_URL, or of AWS
	NetrcFile  string // with logins; empty: none
	CAFile     string // with authorities that are trusted besides the system's; empty: none

	Memory int64 // of the cache, in bytes

	// CacheDir, if not empty, is a folder that keeps what was read, CacheLimit
	// bytes at most.
	CacheDir   string
	CacheLimit int64

	// Little asks for little in advance: the image is not going to be served.
	Little bool

	// Notice is called with what a person should know. It may be nil.
	Notice func(error)
}

// A File is an image at a URL. It is a [backstores.Backstore] and a
// [backstores.VectorReader]; it cannot be written.
type File struct {
	name     string
	identity string // see Identity
	client   *client
	version  version
	little   bool

	ctx    context.Context // done by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // fetches

	cache    *blocks
	disk     *diskCache // nil without a folder
	runs     runs       // guarded by the lock of the cache
	demands  int        // reads that wait for the server; guarded by it as well
	aheads   int        // requests of read-ahead; guarded by it as well
	requests chan struct{}
	outage   outage
	closed   atomic.Bool

	skew time.Duration // of the server's clock, if it tells the time
}

var (
	_ backstores.Backstore    = (*File)(nil)
	_ backstores.VectorReader = (*File)(nil)
)

// Open opens the image at a URL that [IsURL]. Each error is one line that begins
// with its name.
func Open(ctx context.Context, location string, o Options) (*File, error) {
	f, err := open(ctx, location, o)
	if err != nil {
		return nil, explain(location, o, err)
	}
	return f, nil
}

func open(ctx context.Context, location string, o Options) (_ *File, err error) {
	f := &File{name: Name(location), identity: Identity(location), little: o.Little, requests: make(chan struct{}, MaxRequests),
		outage: outage{patience: patience, readTime: readTime}}
	if f.client, err = newClient(location, o); err != nil {
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	stop := context.AfterFunc(ctx, f.cancel) // while it is opened
	probe := int64(maxProbe)
	if f.little {
		probe = minProbe
	}
	var dir *cacheDir
	if o.CacheDir != "" {
		if dir, err = openCacheDir(o.CacheDir, o.CacheLimit); err != nil {
			return nil, err
		}
		defer func() {
			if f.disk == nil {
				dir.root.Close()
			}
		}()
		if dir.has(f.identity) {
			probe = 1 // what is kept is not sent again
		}
	}
	a, err := f.probe(probe)
	if !stop() && err == nil {
		a.body.Close()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, f.expired(err)
	}
	f.version = a.version
	f.told(a, o)
	if f.cache, err = newBlocks(min(o.Memory, a.size+maxRequest)); err == nil && dir != nil && f.version.known() {
		f.disk, err = dir.open(f.identity, f.ID())
	}
	if err != nil {
		a.body.Close()
		return nil, err
	}
	f.begin(a)
	return f, nil
}

// probe sends the first request, for n bytes, which also tells size and version. It
// repeats the request after errors that last a moment, and returns others at once, such
// as that of a host that does not exist.
func (f *File) probe(n int64) (a *answer, err error) {
	for try := range probes {
		a, err = f.client.get(f.ctx, 0, n, nil)
		s, ok := errors.AsType[*statusError](err)
		if err == nil || !(ok && s.temporary() || errors.Is(err, errCut)) {
			break
		}
		if pause(f.ctx, delay(try, err)) != nil {
			break
		}
	}
	return a, err
}

// expired returns err or, if the server refuses a presigned URL that has expired, that.
// The clock here may be wrong, so the server is asked first.
func (f *File) expired(err error) error {
	at, ok := expiry(f.client.first)
	late := time.Since(at)
	if _, refused := errors.AsType[*statusError](err); !ok || !refused || late < 0 {
		return err
	}
	return fmt.Errorf("the URL expired %s ago, at %s: %w", late.Round(time.Second), at.Local().Format(time.DateTime), err)
}

// told passes on what the first answer says of later ones.
func (f *File) told(a *answer, o Options) {
	if now, err := parseDate(a.date); err == nil {
		f.skew = time.Until(now)
	}
	if o.Notice == nil {
		return
	}
	if at, ok := expiry(f.client.first); ok {
		o.Notice(fmt.Errorf("%s: the URL expires at %s, in %s; reads fail from then on", f.name, at.Local().Format(time.DateTime), time.Until(at).Round(time.Second)))
	}
	if !a.known() {
		unused := ""
		if o.CacheDir != "" {
			unused = ", and nothing of it is kept in --cache-dir"
		}
		o.Notice(fmt.Errorf("%s: the server sends neither a strong ETag nor Last-Modified; a change of the image would not be noticed%s", f.name, unused))
	}
	if s := f.client.signer; s != nil && s.current().id != "" && f.skew.Abs() > time.Minute {
		o.Notice(fmt.Errorf("%s: %s", f.name, skewed(f.skew)))
	}
}

// Name returns the name of the image, see [Name].
func (f *File) Name() string { return f.name }

// Size implements [backstores.Backstore].
func (f *File) Size() int64 { return f.version.size }

// ID identifies the image: its URL, see [Identity], and the version on the server. It is empty if
// the server does not tell one version from another.
func (f *File) ID() string {
	if !f.version.known() {
		return ""
	}
	return "url=" + f.version.id(f.identity)
}

// Validator returns what tells versions of the image apart for lack of a time: the
// strong entity tag. It is empty if there is a time.
func (f *File) Validator() string {
	if v := f.version; v.strong() && v.time().IsZero() {
		return v.etag
	}
	return ""
}

// LimitMemory reduces the cache. It is for a format that has one of its own.
func (f *File) LimitMemory(bytes int64) { f.cache.limit(bytes) }

// Hits returns how often a read found its block in memory, see
// [backstores.Hits].
func (f *File) Hits() (hits, misses uint64) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	return f.cache.hits, f.cache.misses
}

// Cancel ends all requests: reads that wait fail, and so do later ones. A format
// that reads ahead calls it before it waits for its own reads, to be closed.
func (f *File) Cancel() { f.cancel() }

// Close ends all requests.
func (f *File) Close() error {
	if f.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", f.name, fs.ErrClosed)
	}
	f.cancel()
	f.wg.Wait()
	f.client.transport.CloseIdleConnections()
	err := f.disk.close()
	if f.cache != nil {
		err = errors.Join(err, f.cache.close())
	}
	return err
}

// Stat describes the image as a file, with the time of Last-Modified.
func (f *File) Stat() (fs.FileInfo, error) { return fileInfo{f}, nil }

type fileInfo struct{ f *File }

func (i fileInfo) Name() string       { return path.Base(i.f.name) }
func (i fileInfo) Size() int64        { return i.f.Size() }
func (i fileInfo) Mode() fs.FileMode  { return 0o444 }
func (i fileInfo) ModTime() time.Time { return i.f.version.time() }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }

// explain returns an error of opening a URL with what to do about it.
func explain(location string, o Options, err error) error {
	name := Name(location)
	err = fmt.Errorf("%s: %w", name, err)
	s, ok := errors.AsType[*statusError](err)
	switch {
	case errors.Is(err, errNoRanges):
		return hint.With(err, Download(location, o))
	case ok && (s.status == 401 || s.status == 403):
		if now, bad := parseDate(s.date); bad == nil && time.Until(now).Abs() > 5*time.Minute {
			return fmt.Errorf("%w; %s", err, skewed(time.Until(now)))
		}
		if o.NetrcFile == "" && s.status == 401 {
			return hint.With(err, hint.Command{Words: []string{"--netrc-file", "FILE"}, Purpose: "to log in"})
		}
	}
	return err
}

func skewed(by time.Duration) string {
	if by < 0 {
		return fmt.Sprintf("the clock here is %s ahead of the server's, so signatures may be refused", -by.Round(time.Second))
	}
	return fmt.Sprintf("the clock here is %s behind the server's, so signatures may be refused", by.Round(time.Second))
}

// ReadAt implements [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) { return backstores.ReadAt(f, p, off) }

var _ io.ReaderAt = (*File)(nil)
