package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/e2e/weblab"
)

// startGateway starts versitygw with an object, whose contents it returns. No
// settings of this machine's user are in effect.
func startGateway(t *testing.T, key string) (*weblab.Gateway, []byte) {
	t.Helper()
	if _, err := weblab.VersityGW(); err != nil {
		storetest.Missing(t, "versitygw", err)
	}
	g, err := weblab.StartGateway(storetest.TempDir(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Stop() })
	want := noise(small)
	path := filepath.Join(g.Dir, "bucket", key)
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
		"AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "")
	}
	return g, want
}

func TestS3ObjectIsReadWithKeysFromTheEnvironment(t *testing.T) {
	const key = "folder/a disk+(1)~ü%41&=?.img"
	g, want := startGateway(t, key)
	t.Setenv("AWS_ACCESS_KEY_ID", g.Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", g.Secret)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+g.Addr)
	holds(t, openURL(t, "s3://bucket/"+key, Options{}), want, 0, small)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+nobody(t))
	holds(t, openURL(t, "s3://bucket/"+key, Options{S3Endpoint: "http://" + g.Addr + "/"}), want, 0, small)
}

func TestS3KeysAreReadFromTheFilesOfTheCLI(t *testing.T) {
	g, want := startGateway(t, "disk.img")
	dir := filepath.Join(os.Getenv("HOME"), ".aws")
	os.Mkdir(dir, 0o700)
	os.WriteFile(filepath.Join(dir, "config"), []byte("[profile lab]\nregion = us-east-1\n[default]\nregion=eu-central-9\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "credentials"), []byte("# keys\n[default]\naws_access_key_id = A\naws_secret_access_key = B\n\n[lab]\nAWS_Access_Key_ID="+g.Key+"\naws_secret_access_key = "+g.Secret+"\n"), 0o600)
	o := Options{S3Endpoint: "http://" + g.Addr}
	wantError(t, refused(t, "s3://bucket/disk.img", o), "s3://bucket/disk.img: the server answers 40")
	t.Setenv("AWS_PROFILE", "lab")
	holds(t, openURL(t, "s3://bucket/disk.img", o), want, 0, small)
}

// Another program renews keys that expire in their file, as that of AWS SSO does.
func TestS3KeysAreReadAgainWhenTheyExpire(t *testing.T) {
	startGateway(t, "disk.img") // for its environment; only AWS has keys that expire
	valid := func(key string) string {
		return `location /bucket/ {
			if ($http_authorization !~ "Credential=` + key + `/") { return 400 "<Error><Code>ExpiredToken</Code>"; }
			rewrite ^/bucket(.*)$ $1 break;
		}`
	}
	n, want := startNginx(t, valid("FIRST"), small)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(id string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[lab]\naws_access_key_id="+id+"\naws_secret_access_key=S\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_PROFILE", "lab")
	write("FIRST")
	o := Options{S3Endpoint: "http://" + n.Addr}
	f := openURL(t, "s3://bucket/disk.img", o)
	expire := func(next string) {
		if err := n.Reload(valid(next)); err != nil {
			t.Fatal(err)
		}
	}
	expire("SECOND")
	_, err := f.ReadAt(make([]byte, 4096), small-4096)
	wantError(t, err, "400 Bad Request, ExpiredToken")
	if err := os.WriteFile(file, []byte("[lab]\naws_access_key_id=SECOND\n"), 0o600); err != nil { // it is being written
		t.Fatal(err)
	}
	_, err = f.ReadAt(make([]byte, 4096), small-4096)
	wantError(t, err, "400 Bad Request, ExpiredToken")
	write("SECOND")
	var wg sync.WaitGroup
	for i := range int64(4) { // all at once
		wg.Go(func() {
			if _, err := f.ReadAt(make([]byte, 4096), small/4*i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	holds(t, f, want, 0, small)
	t.Setenv("AWS_PROFILE", "lib")
	wantError(t, refused(t, "s3://bucket/disk.img", o), "the profile in AWS_PROFILE is in neither ~/.aws/credentials nor ~/.aws/config")
}

func TestS3ErrorsAreNamed(t *testing.T) {
	g, _ := startGateway(t, "disk.img")
	o := Options{S3Endpoint: "http://" + g.Addr}
	wantError(t, refused(t, "s3://bucket/disk.img", o), "403 Forbidden, AccessDenied")
	t.Setenv("AWS_ACCESS_KEY_ID", g.Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	err := refused(t, "s3://bucket/disk.img", o)
	wantError(t, err, "403 Forbidden, SignatureDoesNotMatch")
	t.Setenv("AWS_SECRET_ACCESS_KEY", g.Secret)
	wantError(t, refused(t, "s3://bucket/nosuch.img", o), "404 Not Found, NoSuchKey")
	wantError(t, refused(t, "s3://nosuch/disk.img", o), "404 Not Found, NoSuchBucket")
	wantError(t, refused(t, "s3://Bucket/disk.img", o), "is not s3://BUCKET/KEY")
	wantError(t, refused(t, "s3://bucket/disk.img", Options{S3Endpoint: "ftp://x"}), "the endpoint is not a URL")
}

func TestPresignedURLIsReadUntilItExpires(t *testing.T) {
	g, want := startGateway(t, "disk.img")
	object := "http://" + g.Addr + "/bucket/disk.img"
	var told []string
	o := Options{Notice: func(err error) { told = append(told, err.Error()) }}
	f := openURL(t, presign(g, object, time.Now(), 300), o)
	holds(t, f, want, 0, small)
	if len(told) != 1 || !strings.Contains(told[0], "/bucket/disk.img: the URL expires at ") || strings.Contains(told[0], "Signature") {
		t.Errorf("told is %q", told)
	}
	wantError(t, refused(t, presign(g, object, time.Now().Add(-time.Hour), 60), Options{}), "/bucket/disk.img: the URL expired 59m")
}

// One expires while it is served: the server refuses it from then on.
func TestReadsFailWhenAPresignedURLExpires(t *testing.T) {
	n, want := startNginx(t, "", small)
	f := openURL(t, n.URL("disk.img?X-Amz-Date=20990102T030405Z&X-Amz-Expires=60&X-Amz-Signature=s3cr3t"), Options{})
	holds(t, f, want, 0, 4096)
	if err := n.Reload(`location = /disk.img { return 403 "<Code>AccessDenied</Code>"; }`); err != nil {
		t.Fatal(err)
	}
	_, err := f.ReadAt(make([]byte, 4096), small-4096)
	wantError(t, err, "403 Forbidden, AccessDenied")
	if strings.Contains(err.Error(), "X-Amz") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the error is %v", err)
	}
	holds(t, f, want, 0, 4096) // from memory
}

// presign returns a URL that is signed by its query.
func presign(g *weblab.Gateway, object string, now time.Time, seconds int) string {
	u, _ := url.Parse(object)
	date := now.UTC().Format("20060102T150405Z")
	scope := date[:8] + "/us-east-1/s3/aws4_request"
	q := url.Values{"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {g.Key + "/" + scope}, "X-Amz-Date": {date},
		"X-Amz-SignedHeaders": {"host"}}
	q.Set("X-Amz-Expires", strings.TrimSuffix(time.Duration(seconds).String(), "ns"))
	canonical := "GET\n" + u.Path + "\n" + q.Encode() + "\nhost:" + u.Host + "\n\nhost\nUNSIGNED-PAYLOAD"
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + g.Secret)
	for _, part := range []string{date[:8], "us-east-1", "s3", "aws4_request"} {
		key = mac(key, part)
	}
	q.Set("X-Amz-Signature", hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))))
	u.RawQuery = q.Encode()
	return u.String()
}

// The example is of AWS, "Authenticating Requests: Using the Authorization
// Header", GET Bucket Lifecycle.
func TestSignatureIsThatOfAWS(t *testing.T) {
	u, _ := url.Parse("https://examplebucket.s3.amazonaws.com/?lifecycle")
	r := &http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}}
	s := &signer{region: "us-east-1", keys: keys{id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}
	s.sign(r, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	const want = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("signed as %s", got)
	}
}

// A token is for the endpoint, wherever that redirects to.
func TestKeysAreNotSentElsewhere(t *testing.T) {
	s := &signer{keys: keys{id: "K"}}
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tt := range []struct {
		first, to string
		want      bool
	}{
		{"https://s3.example.org/b/k", "https://s3.example.org/c/k", true},
		{"https://s3.example.org/b/k", "http://s3.example.org/b/k", false},
		{"https://s3.example.org/b/k", "https://example.org/b/k", false},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://b.s3.eu-west-1.amazonaws.com/k", true},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://evilamazonaws.com/k", false},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://s3-us-west-2.amazonaws.com/b/k", true},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://b.s3.dualstack.us-gov-west-1.amazonaws.com/k", true},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://ec2-192-0-2-1.us-west-2.compute.amazonaws.com/k", false},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://x.execute-api.us-east-1.amazonaws.com/k", false},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://x.s3-object-lambda.us-east-1.amazonaws.com/k", false},
		{"https://b.s3.us-east-1.amazonaws.com/k", "https://b.s3.eu-west-1.amazonaws.com:8443/k", false},
		{"https://b.s3.cn-north-1.amazonaws.com.cn/k", "https://b.s3.cn-northwest-1.amazonaws.com.cn/k", true},
		{"https://s3.example.org/b/k", "https://b.s3.eu-west-1.amazonaws.com/k", false},
	} {
		if got := s.mayBeSent(parse(tt.first), parse(tt.to)); got != tt.want {
			t.Errorf("from %s to %s: %v", tt.first, tt.to, got)
		}
	}
	if (&signer{}).mayBeSent(parse("https://a/"), parse("https://a/")) {
		t.Error("signs without a key")
	}
}

func TestBucketIsInTheHostOrThePath(t *testing.T) {
	startGateway(t, "disk.img")
	for _, tt := range []struct{ region, location, want string }{
		{"eu-west-1", "bucket/a/b c.img", "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c.img"},
		{"eu-west-1", "my.bucket/k", "https://s3.eu-west-1.amazonaws.com/my.bucket/k"},
		{"cn-north-1", "bucket/k", "https://bucket.s3.cn-north-1.amazonaws.com.cn/k"},
	} {
		t.Setenv("AWS_REGION", tt.region)
		u, _, err := parseS3(tt.location, Options{})
		if err != nil || u.String() != tt.want {
			t.Errorf("%+v: %v, %v", tt, u, err)
		}
	}
}

// A redirect to another region is signed for that.
func TestSignatureIsForTheRegionOfTheHost(t *testing.T) {
	for host, want := range map[string]string{
		"b.s3.eu-west-1.amazonaws.com": "eu-west-1", "s3-us-west-2.amazonaws.com": "us-west-2",
		"b.s3.amazonaws.com": "us-east-1", "s3.example.org": "us-east-1",
	} {
		u := &url.URL{Scheme: "https", Host: host, Path: "/k"}
		r := &http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}}
		(&signer{region: "us-east-1", keys: keys{id: "K", secret: "S"}}).sign(r, time.Now())
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "/"+want+"/s3/aws4_request") {
			t.Errorf("%s: signed as %s", host, got)
		}
	}
}

// curl(1) cannot read s3://.
func TestObjectIsDownloadedByTheCLI(t *testing.T) {
	t.Chdir(t.TempDir())
	os.WriteFile("k", nil, 0o600)
	for want, o := range map[string]Options{
		"aws s3 cp s3://bucket/a/k NEW-k": {NetrcFile: "n"},
		"aws s3 cp --endpoint-url https://s3.example.org --ca-bundle ca.pem s3://bucket/a/k NEW-k": {S3Endpoint: "https://s3.example.org", CAFile: "ca.pem"},
	} {
		if line := Download("s3://bucket/a/k", o).Line(); line != want {
			t.Errorf("%s, want %s", line, want)
		}
	}
}
