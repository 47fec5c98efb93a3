package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNetrcFileLogsIn(t *testing.T) {
	n, want := startNginx(t, "", small)
	if err := os.WriteFile(n.Dir+"/htpasswd", []byte("joe:{PLAIN}s3cr3t\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(`auth_basic "a"; auth_basic_user_file ` + n.Dir + `/htpasswd;`); err != nil {
		t.Fatal(err)
	}
	netrc := writeFile(t, "netrc", "# c\nmachine example.org login x password y\nmacdef init\ncd machine 127.0.0.1\n\nmachine 127.0.0.1\n login joe\n\tpassword s3cr3t\ndefault login a password b\n")
	holds(t, openURL(t, n.URL("disk.img"), Options{NetrcFile: netrc}), want, 0, small)

	err := refused(t, n.URL("disk.img"), Options{})
	if text := hint.Text(err); !strings.HasSuffix(text, "401 Unauthorized; try --netrc-file FILE to log in") {
		t.Error(text)
	}
	os.Chmod(netrc, 0o640)
	wantError(t, refused(t, n.URL("disk.img"), Options{NetrcFile: netrc}), "others may read or write it")
	wantError(t, refused(t, n.URL("disk.img"), Options{NetrcFile: netrc + "x"}), "no such file")
	wantError(t, refused(t, n.URL("disk.img"), Options{NetrcFile: "/dev/null"}), "is not a regular file")
}

// A server that a URL redirects to gets no login but its own.
func TestDefaultLoginIsForTheHostThatWasTyped(t *testing.T) {
	n, err := parseNetrc("machine a login x password y default login d password e")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host  string
		typed bool
		want  string
	}{{"a", true, "x y"}, {"A", false, "x y"}, {"b", true, "d e"}, {"b", false, " "}} {
		login, password, _ := n.find(tt.host, tt.typed)
		if got := login + " " + password; got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// A login is sent to no other host than that of its entry, on however many lines
// that is.
func TestEntryOfNetrcIsForItsHostAlone(t *testing.T) {
	for _, text := range []string{"machine a login x password y", "machine\na\nlogin\nx\npassword\ny\n", "machine\n\n# c\na login x\npassword y",
		"macdef m\nmachine b login x password y\n\nmachine a login x password y", "macdef\nm\nmachine b login x password y\n\nmachine a login x password y",
		"machine a login x password y\naccount default\nlog in machine b",
	} {
		n, err := parseNetrc(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if login, password, _ := n.find("a", false); login != "x" || password != "y" {
			t.Errorf("%q: a has the login %q, %q", text, login, password)
		}
		for _, typed := range []bool{true, false} {
			if login, password, ok := n.find("b", typed); ok && login+password != "" {
				t.Errorf("%q: b has the login %q, %q", text, login, password)
			}
		}
	}
	for _, text := range []string{"machine", "machine\n", "machine login x password y", "machine\ndefault login x password y"} {
		wantError(t, refused(t, "http://127.0.0.1:1/", Options{NetrcFile: writeFile(t, "netrc", text)}), "has a machine without a name")
	}
}

// A redirect cannot have a login sent where others on the network can read it.
func TestLoginGoesToOtherHostsByTLSAlone(t *testing.T) {
	other, _ := startNginx(t, "", small)
	if err := other.Reload(`if ($http_authorization) { return 418; }`); err != nil {
		t.Fatal(err)
	}
	n, want := startNginx(t, "", small)
	os.WriteFile(other.Path("disk.img"), want, 0o644)
	if err := n.Reload("location = /away { return 302 " + other.URL("disk.img") + "; } location = /here { return 302 /disk.img; } if ($http_authorization = '') { return 401; }"); err != nil {
		t.Fatal(err)
	}
	o := Options{NetrcFile: writeFile(t, "netrc", "machine 127.0.0.1 login joe password s3cr3t")}
	holds(t, openURL(t, n.URL("here"), o), want, 0, small)
	holds(t, openURL(t, n.URL("away"), o), want, 0, small)
}

// A named file may be anything, and is read as root.
func TestOnlyRegularFilesOfSomeLengthAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo, long := filepath.Join(dir, "fifo"), filepath.Join(dir, "long")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	makeSparse(t, long, 1<<40)
	for path, want := range map[string]string{fifo: "is not a regular file", "/dev/zero": "is not a regular file", long: "has more than"} {
		wantError(t, refused(t, "http://127.0.0.1:1/", Options{NetrcFile: path}), want)
		wantError(t, refused(t, "http://127.0.0.1:1/", Options{CAFile: path}), want)
		t.Setenv("AWS_CONFIG_FILE", path)
		wantError(t, refused(t, "s3://bucket/k", Options{S3Endpoint: "http://127.0.0.1:1"}), want)
	}
}

// newAuthority returns the certificate of a new authority, and a certificate and
// key of its for 127.0.0.1, in PEM.
func newAuthority(t *testing.T) (ca, cert, key string) {
	t.Helper()
	sign := func(c, parent *x509.Certificate, pub *ecdsa.PrivateKey, by *ecdsa.PrivateKey) string {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &pub.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root, leaf := newKey(), newKey()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.MarshalPKCS8PrivateKey(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return sign(authority, authority, root, root), sign(server, authority, leaf, root), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestTLSIsVerified(t *testing.T) {
	ca, cert, key := newAuthority(t)
	n, want := startNginx(t, "", small)
	os.WriteFile(n.Dir+"/cert", []byte(cert), 0o600)
	os.WriteFile(n.Dir+"/key", []byte(key), 0o600)
	plain := n.URL("disk.img")
	if err := n.Reload("listen 127.0.0.2:" + strings.Split(n.Addr, ":")[1] + " ssl; listen 127.0.0.3:" + strings.Split(n.Addr, ":")[1] +
		" ssl; ssl_certificate " + n.Dir + "/cert; ssl_certificate_key " + n.Dir + "/key; location /down { return 302 " + plain + "; }"); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "ca.pem", ca)
	// The certificate is for 127.0.0.1, where nginx does not use TLS.
	port := strings.Split(n.Addr, ":")[1]
	wantError(t, refused(t, "https://127.0.0.2:"+port+"/disk.img", Options{CAFile: file}), "certificate is valid for 127.0.0.1, not 127.0.0.2")
	wantError(t, refused(t, "https://"+n.Addr+"/disk.img", Options{CAFile: file}), "the server does not use TLS")
	wantError(t, refused(t, plain, Options{CAFile: n.Dir + "/key"}), "has no certificate in PEM")

	line := startLine(t, "127.0.0.2:"+port, 0, 0) // at 127.0.0.1
	url := "https://" + line.Addr() + "/"
	err := refused(t, url+"disk.img", Options{})
	if text := hint.Text(err); !strings.Contains(text, "unknown authority; try --ca-file FILE") {
		t.Error(text)
	}
	holds(t, openURL(t, url+"disk.img", Options{CAFile: file}), want, 0, small)
	wantError(t, refused(t, url+"down", Options{CAFile: file}), "is redirected to 127.0.0.1, without TLS")
}
