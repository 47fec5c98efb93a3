package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hosts are the web servers in the documents. A server of this machine takes their place.
var hosts = []string{"cloud.debian.org", "images.example"}

// TestLinesOfTheDocumentsWork types the blocks of the documents whose language is
// "sh run": each in a shell and a folder of its own, which has the images that the
// documents speak of.
func TestLinesOfTheDocumentsWork(t *testing.T) {
	needTarget(t)
	newInitiator(t)
	images := tmpfsDir(t)
	makeImages(t, images)
	serveHosts(t, images)
	run(t, "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
	t.Cleanup(func() { run(t, "ip", "address", "del", "192.0.2.1/32", "dev", "lo") })
	bin := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "lunserve")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	block := regexp.MustCompile("(?ms)^```sh (run|norun)\n(.*?)^```$")
	for _, name := range []string{"../README.md", "../docs/recipes.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range block.FindAllStringSubmatchIndex(string(text), -1) {
			how, lines := string(text[m[2]:m[3]]), string(text[m[4]:m[5]])
			if how == "norun" {
				if !strings.Contains(lines, "# needs ") {
					t.Errorf("%s: a comment must say what these need:\n%s", name, lines)
				}
				continue
			}
			found++
			line := 1 + strings.Count(string(text[:m[4]]), "\n")
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(name), line), func(t *testing.T) { typeLines(t, images, lines) })
		}
		if all := strings.Count(string(text), "```sh"); found == 0 || all != len(block.FindAllString(string(text), -1)) {
			t.Errorf("%s has %d blocks of sh, of which %d are typed; each is run or norun", name, all, found)
		}
	}
}

// typeLines types lines in a folder that has copies of the images. The first that
// fails fails t.
func typeLines(t *testing.T, images, lines string) {
	t.Helper()
	dir := tmpfsDir(t)
	run(t, "cp", "--sparse=always", filepath.Join(images, "disk.img"), filepath.Join(images, "debian.qcow2"), dir)
	cmd := exec.Command("timeout", "120", "bash", "-eux")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("{\n"+lines+"} </dev/null\n")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		if out, err := exec.Command(binary, "detach", "--force", "--all").CombinedOutput(); err != nil {
			t.Logf("%v: %s", err, out)
		}
	}
	t.Logf("%.1f s", time.Since(began).Seconds())
}

// makeImages makes disk.img, an ext4, and debian.qcow2, whose first partition is an
// ext4 with the name of a system, and from which a machine boots that shuts down.
func makeImages(t *testing.T, dir string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("NAME=test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	disk, whole := filepath.Join(dir, "disk.img"), filepath.Join(dir, "whole.img")
	run(t, "truncate", "-s", "32M", disk)
	run(t, "mke2fs", "-q", "-t", "ext4", "-d", root, disk)
	run(t, "truncate", "-s", "34M", whole)
	run(t, "sh", "-c", "echo '2048 65536 L' | sfdisk -q "+whole)
	run(t, "dd", "if="+disk, "of="+whole, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	// The partition table is behind the code.
	write(t, whole, 0, bootSector("debian login:",
		0xba, 0x04, 0x06, // mov dx, 604h: PM1 control of QEMU's chip set
		0xb8, 0x00, 0x20, // mov ax, 2000h: sleep, of type 0, which is off
		0xef,       //       out dx, ax
		0xf4,       // stop: hlt
		0xeb, 0xfd, //       jmp stop
	)[:440])
	run(t, "qemu-img", "convert", "-c", "-O", "qcow2", whole, filepath.Join(dir, "debian.qcow2"))
}

// serveHosts serves debian.qcow2 as every file of the hosts, until t ends.
func serveHosts(t *testing.T, images string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authority := filepath.Join(dir, "authority.pem")
	names := filepath.Join(dir, "hosts")
	for path, text := range map[string][]byte{
		authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		names:     []byte("127.0.0.1 localhost " + strings.Join(hosts, " ") + "\n"),
	} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, names, "/etc/hosts", "--bind")
	t.Setenv("SSL_CERT_FILE", authority)

	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(images, "debian.qcow2"))
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
}
