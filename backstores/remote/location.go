package remote

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

var scheme = regexp.MustCompile(`^(?i:https?|s3)://`)

// IsURL reports whether an image is named by a URL that Open opens.
func IsURL(image string) bool { return scheme.MatchString(image) }

func isS3(location string) bool { return len(location) > 5 && strings.EqualFold(location[:5], "s3://") }

// Name returns the name of an image at a URL: scheme, host and path. Everything
// that is printed, listed, logged or stored has the name. The rest of a URL, user
// information and query, may be a secret.
func Name(location string) string {
	scheme, rest, _ := strings.Cut(location, "://")
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	if name, port, ok := strings.Cut(host, ":"); ok && host[0] != '[' && strings.Trim(port, "0123456789") != "" {
		host, path = name, "" // after it comes a password with a slash or the like
	}
	return strings.ToLower(scheme+"://"+host) + "/" + path
}

// Identity returns a text that is the same for URLs of the same image, and contains no
// secret: the name and, since /get?file=a and /get?file=b differ, a digest of the query
// without the signature of a presigned URL, which is another each time.
func Identity(location string) string {
	name := Name(location)
	_, query, _ := strings.Cut(location, "?")
	if !isS3(location) { // else it is part of the key
		query, _, _ = strings.Cut(query, "#")
		query = strings.Join(slices.DeleteFunc(strings.Split(query, "&"), func(parameter string) bool {
			key, _, _ := strings.Cut(parameter, "=")
			return signs(key)
		}), "&")
	}
	if query == "" {
		return name
	}
	return name + "?" + short(query)
}

// Typed returns a URL as a word of a command to type. The placeholder URL stands for
// one with a query or a password, which may be a secret.
func Typed(location string) string {
	if name := Name(location); !strings.ContainsAny(location, "?#@") {
		return name
	}
	return "URL"
}

// Download returns the command that downloads the file at a URL, as it is opened.
func Download(location string, o Options) hint.Command {
	name := path.Base(strings.SplitN(Name(location), "/", 4)[3])
	if name == "." || name == ".." || name == "/" {
		name = "disk.img"
	}
	out := hint.Path(hint.Free(name))
	var words []string
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, hint.Path(value))
		}
	}
	if isS3(location) {
		words = []string{"aws", "s3", "cp"}
		add("--endpoint-url", o.S3Endpoint)
		add("--ca-bundle", o.CAFile)
		return hint.Command{Words: append(words, Typed(location), out)}
	}
	words = []string{"curl", "-fL"}
	add("--netrc-file", o.NetrcFile)
	add("--cacert", o.CAFile)
	return hint.Command{Words: append(words, "-o", out, Typed(location))}
}

// parse returns the URL to ask for the bytes of an image. Its errors do not
// contain the URL, as those of package url do.
func parse(location string, o Options) (*url.URL, *signer, error) {
	if isS3(location) {
		return parseS3(location[5:], o)
	}
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Host == "":
		return nil, nil, errors.New("is not a valid URL")
	case u.User != nil:
		return nil, nil, hint.With(errors.New("other users see a password on the command line"),
			hint.Command{Words: []string{"--netrc-file", "FILE"}, Purpose: "to read it from a file"})
	}
	u.Scheme, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), "", ""
	return u, nil, nil
}

// follow returns the URL that an answer redirects to.
func follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	switch {
	case location == "" || err != nil:
		return nil, errors.New("is redirected to an invalid URL")
	case to.Scheme == "http" && from.Scheme == "https":
		return nil, fmt.Errorf("is redirected to %s, without TLS", to.Hostname())
	case to.Scheme != "http" && to.Scheme != "https":
		return nil, errors.New("is redirected to a URL that is not of HTTP")
	case to.Host == "":
		return nil, errors.New("is redirected to an invalid URL")
	}
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	return to, nil
}
