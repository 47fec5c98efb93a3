package remote

import (
	"cmp"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// s3Codes are the errors of S3 that a message names.
var s3Codes = map[string]bool{
	"AccessDenied": true, "AuthorizationHeaderMalformed": true, "ExpiredToken": true, "InvalidAccessKeyId": true,
	"InvalidObjectState": true, "InvalidToken": true, "NoSuchBucket": true, "NoSuchKey": true, "PermanentRedirect": true,
	"RequestTimeTooSkewed": true, "SignatureDoesNotMatch": true, "SlowDown": true,
}

var (
	isRegion = regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString
	isBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`).MatchString
)

// parseS3 returns the URL of an object, given as bucket/key, and the signer of
// requests. The key is taken as it is, with any character. The bucket is part of
// the path at an endpoint that is named, as other stores than S3 want it.
func parseS3(location string, o Options) (*url.URL, *signer, error) {
	bucket, key, _ := strings.Cut(location, "/")
	if !isBucket(bucket) || key == "" {
		return nil, nil, errors.New("is not s3://BUCKET/KEY")
	}
	s, err := newSigner()
	if err != nil {
		return nil, nil, err
	}
	endpoint := cmp.Or(o.S3Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	path := "/" + bucket + "/" + key
	if endpoint == "" {
		host := "s3." + s.region + ".amazonaws.com"
		if strings.HasPrefix(s.region, "cn-") {
			host += ".cn"
		}
		if !strings.Contains(bucket, ".") { // else no certificate is for its host
			host, path = bucket+"."+host, "/"+key
		}
		endpoint = "https://" + host
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, nil, errors.New("the endpoint is not a URL such as https://s3.example.org")
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawPath = escapeS3(u.Path)
	return u, s, nil
}

// newSigner takes region and keys from the environment, or from the files of the
// AWS CLI. Without keys requests are not signed, as for a public bucket.
func newSigner() (*signer, error) {
	chosen := os.Getenv("AWS_PROFILE")
	profile := cmp.Or(chosen, "default")
	config, err := readINI("AWS_CONFIG_FILE", "config", profile, "profile "+profile)
	if err != nil {
		return nil, err
	}
	s := &signer{
		region: cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), config["region"], "us-east-1"),
		keys:   keys{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")},
	}
	if !isRegion(s.region) {
		return nil, errors.New("the region in AWS_REGION or ~/.aws/config is not valid")
	}
	if s.keys.id != "" && s.keys.secret != "" {
		return s, nil
	}
	s.read = func() (keys, error) {
		all, err := readINI("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile)
		if err == nil && all == nil && config == nil && chosen != "" {
			err = errors.New("the profile in AWS_PROFILE is in neither ~/.aws/credentials nor ~/.aws/config")
		}
		if all["aws_access_key_id"] == "" {
			all = config
		}
		return keys{all["aws_access_key_id"], all["aws_secret_access_key"], all["aws_session_token"]}, err
	}
	s.keys, err = s.read()
	return s, err
}

// keysExpired are the errors of S3 for keys that another program may have renewed, also
// for those that were read while that program wrote them.
var keysExpired = map[string]bool{"ExpiredToken": true, "InvalidAccessKeyId": true, "InvalidToken": true, "SignatureDoesNotMatch": true}

// current returns the keys.
func (s *signer) current() keys {
	if s == nil {
		return keys{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// renewed reports whether there are other keys than these, which do not count any
// more. It reads their file again.
func (s *signer) renewed(old keys) bool {
	if s == nil || s.read == nil {
		return false
	}
	k, err := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && k.id != "" && k.secret != "" {
		s.keys = k
	}
	return s.keys != old
}

// readINI returns the values in sections of a file that a variable names, or
// else of a file of the AWS CLI in the home directory. A file that does not exist
// has none, see parseINI.
func readINI(variable, name string, sections ...string) (map[string]string, error) {
	path := os.Getenv(variable)
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil
		}
		path = filepath.Join(home, ".aws", name)
	}
	if path == os.DevNull {
		return nil, nil
	}
	text, err := readSetting(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return parseINI(text, sections...), nil
}

// parseINI returns the values in sections of an INI file, or nil if it has none of
// them. The first value counts.
func parseINI(text string, sections ...string) (all map[string]string) {
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if section, ok := strings.CutPrefix(line, "["); ok {
			section, _, _ = strings.Cut(section, "]")
			in = false
			for _, s := range sections {
				in = in || strings.TrimSpace(section) == s
			}
			if in && all == nil {
				all = make(map[string]string)
			}
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, known := all[name]; in && ok && !known && !strings.HasPrefix(line, "#") {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}
