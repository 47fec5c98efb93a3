package image

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"slices"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/remote"
	"github.com/lunserve/lunserve/hint"
)

// IsURL reports whether an image is named by a URL that Open opens, not by a path.
func IsURL(image string) bool { return remote.IsURL(image) }

// Name returns the name of an image as it may be printed: its path, or scheme,
// host and path of a URL, also of one that cannot be opened.
func Name(image string) string {
	if url.MatchString(image) {
		return remote.Name(image)
	}
	return image
}

// Identity returns what identifies a disk of an image: its path, or the URL without
// what may be a secret, see remote.Identity.
func Identity(image string) string {
	if IsURL(image) {
		return remote.Identity(image)
	}
	return image
}

// Typed returns an image as a word of a command to type. A URL that may have a
// secret is a placeholder.
func Typed(image string) string {
	if url.MatchString(image) {
		return remote.Typed(image)
	}
	return hint.Path(image)
}

// beside returns the path in whose folder there is room for what is made of an
// image: its own, or the last part of a URL, in the working directory.
func beside(image string) string {
	if IsURL(image) {
		return path.Base(remote.Name(image))
	}
	return image
}

// A remoteFile is the file at a URL. It is a raw image as it is.
type remoteFile struct {
	*remote.File
	location string
	options  URLOptions
	like     string // what it looks like although it is raw, or empty
}

// openRemote opens the file at a URL.
func openRemote(ctx context.Context, location string, o Options) (*remoteFile, error) {
	to := o.URL.remote()
	to.Memory, to.Little, to.Notice = o.CacheSize, o.little, o.Notice
	f, err := remote.Open(ctx, location, to)
	if err != nil {
		return nil, err
	}
	return &remoteFile{File: f, location: location, options: o.URL}, nil
}

func (u URLOptions) remote() remote.Options {
	return remote.Options{S3Endpoint: u.S3Endpoint, NetrcFile: u.NetrcFile, CAFile: u.CAFile, CacheDir: u.CacheDir, CacheLimit: u.CacheLimit}
}

// flags returns the flags without which images cannot be opened in another command,
// if one is at a URL.
func (u URLOptions) flags(image string, backing ...string) (words []string) {
	if !IsURL(image) && !slices.ContainsFunc(backing, IsURL) {
		return nil
	}
	for _, flag := range [][2]string{{"--netrc-file", u.NetrcFile}, {"--ca-file", u.CAFile}, {"--s3-endpoint", u.S3Endpoint}} {
		if flag[1] != "" {
			words = append(words, flag[0], hint.Path(flag[1]))
		}
	}
	return words
}

// flagsOf is flags for the image that a store reads.
func flagsOf(store any) []string {
	if f := elsewhere(store); f != nil {
		return f.options.flags(f.location)
	}
	return nil
}

// download returns the command that downloads the file at a URL, which a store reads.
func download(location string, store any) hint.Command {
	if f := elsewhere(store); f != nil {
		return remote.Download(location, f.options.remote())
	}
	return remote.Download(location, remote.Options{})
}

// Path returns the URL.
func (f *remoteFile) Path() string { return f.location }

// Changed returns nil: a read of another version fails.
func (f *remoteFile) Changed() error { return nil }

// Place returns the name.
func (f *remoteFile) Place() string { return f.Name() }

// Version identifies what is at the URL. Without a version there nothing that was
// remembered of it counts.
func (f *remoteFile) Version() []byte { return []byte(cmp.Or(f.ID(), rand.Text())) }

// Info implements [Describer].
func (f *remoteFile) Info() Info {
	return Info{Format: Raw, LooksLike: f.like, Size: f.Size(), Stored: f.Size(), Random: true}
}

// elsewhere returns the file at a URL that a store reads, or nil.
func elsewhere(store any) *remoteFile {
	switch s := store.(type) {
	case *remoteFile:
		return s
	case *zstdImage:
		return elsewhere(s.file.source)
	case *tempImage:
		return elsewhere(s.of)
	case *simg:
		return elsewhere(s.file)
	case *qcow2Image:
		return elsewhere(s.file)
	case *vmdk:
		return elsewhere(s.file)
	}
	return nil
}

// RemoteID identifies the version of an image at a URL, and is empty if the server
// does not. It reports false for a file of this machine.
func RemoteID(b backstores.Backstore) (id string, remote bool) {
	if f := elsewhere(b); f != nil {
		return f.ID(), true
	}
	return "", false
}

// openURL is openSource for a URL. It returns the file of a raw image as well.
func openURL(ctx context.Context, location string, o Options) (source, detected, error) {
	if o.Create > 0 {
		return nil, detected{}, fmt.Errorf("%s: is a URL, and --size makes files", remote.Name(location))
	}
	f, err := openRemote(ctx, location, o)
	if err != nil {
		return nil, detected{}, err
	}
	d, err := decide(location, f, f.Size(), o.Format, func() bool { return false })
	if err == nil {
		err = noBacking(f.Name(), d.format, o)
	}
	if err != nil {
		f.Close()
		return nil, d, err
	}
	if d.remains != nil {
		f.like = d.remains.name
	}
	return f, d, nil
}

// memory returns the memory for what a format keeps of a file. That of a file at a
// URL is divided: one part of this many stays for what was read from there.
func (o Options) memory(file source, parts int64) int64 {
	f, ok := file.(*remoteFile)
	if !ok {
		return o.CacheSize
	}
	f.LimitMemory(o.CacheSize / parts)
	return o.CacheSize - o.CacheSize/parts
}

// cancel ends the requests for a file at a URL that is about to be closed.
func cancel(file source) {
	if f := elsewhere(file); f != nil {
		f.Cancel()
	}
}

// Hurry says that an image is about to be closed. If it is at a URL, reads do not wait
// for long any more, see remote.File.
func Hurry(b backstores.Backstore) {
	for ; b != nil; b = Backing(b) {
		if f := elsewhere(b); f != nil {
			f.Hurry()
		}
	}
}

// Doctor returns the command that examines the place of an image which does not answer:
// the server, or the devices of this machine.
func Doctor(b backstores.Backstore) hint.Command {
	for ; b != nil; b = Backing(b) {
		if f := elsewhere(b); f != nil {
			words := append([]string{"lunserve", "doctor"}, flagsOf(f)...)
			return hint.Command{Words: append(words, Typed(f.location))}
		}
	}
	return hint.Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}}
}

// reads returns how many parts of a file a format reads at a time, 0 for its
// default.
func reads(file source) int {
	if elsewhere(file) != nil {
		return remote.MaxRequests
	}
	return 0
}
