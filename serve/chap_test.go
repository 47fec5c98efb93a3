package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
)

// Each part of a value is what the user types, or an error says that it is not.
func TestCHAPFileIsTakenVerbatimOrRefused(t *testing.T) {
	two := configfs.CHAP{User: "joe", Secret: "correct horse"}
	four := configfs.CHAP{User: "joe", Secret: "correct horse", MutualUser: "target", MutualSecret: "battery staple"}
	for text, want := range map[string]any{
		"joe\ncorrect horse":                           two,
		"joe\ncorrect horse\n\n":                       two,
		"joe\r\ncorrect horse\r\n":                     two,
		"\uFEFFjoe\r\ncorrect horse\r\n":               two,
		"joe\ncorrect horse\ntarget\nbattery staple\n": four,
		"":                       "has 1 lines; it needs two, a user name and a secret, or four for mutual CHAP",
		"joe \ncorrect horse\n":  "line 1 begins or ends with a blank, which would be part of the value; remove it",
		"joe\n\tcorrect horse\n": "line 2 begins or ends with a blank, which would be part of the value; remove it",
		"joe\ncorrect horse\ntarget\u00a0\nbattery staple\n":     "line 3 begins or ends with a blank, which would be part of the value; remove it",
		"\xff\xfej\x00o\x00e\x00\n\x00s\x00e\x00c\x00r\x00e\x00": "the CHAP user contains a control character",
		"joe\ncorrect\x1bhorse\n":                                "the CHAP secret contains a control character",
		"joe\ncorrect\u009bhorse\n":                              "the CHAP secret contains a control character",
		"joe\ncorrect horse\ntarget\n\n":                         "has 3 lines; it needs two, a user name and a secret, or four for mutual CHAP",
		"joe\ncorrect horse\n\nbattery staple\n":                 "lines 3 and 4 must not be empty",
	} {
		c, err := parseCHAP(text)
		if s, refused := want.(string); refused && (err == nil || err.Error() != s) || !refused && (err != nil || *c != want) {
			t.Errorf("parseCHAP(%q) = %+v, %v; want %v", text, c, err, want)
		}
	}
}

// No error has a secret, and each value is a part of the file as it stands.
func FuzzCHAPFile(f *testing.F) {
	f.Add("joe\n", "\n")
	f.Add("\uFEFFjoe\r\n", "\r\ntarget\r\n")
	f.Add("NULL\n", " \n\n\x00")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "xyzzy-plugh"
		text := before + secret + after + secret + secret
		c, err := parseCHAP(text)
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if err := c.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, v := range []string{c.User, c.Secret, c.MutualUser, c.MutualSecret} {
			if strings.TrimSpace(v) != v || strings.ContainsAny(v, "\r\n\x00") || !strings.Contains(text, v) {
				t.Fatalf("%q has the value %q", text, v)
			}
		}
	})
}

// A wait for the writer of a FIFO ends with the start.
func TestWaitForAPipeOfSecretsIsInterrupted(t *testing.T) {
	for _, half := range []bool{false, true} { // whether a writer has written a part
		path := filepath.Join(t.TempDir(), "pipe")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if half {
			w, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if _, err := w.WriteString("joe\n"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := readCHAP(ctx, path)
			result <- err
		}()
		cancel()
		select {
		case err := <-result:
			if err == nil || err.Error() != path+": interrupted" {
				t.Errorf("the error is %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it still waits")
		}
	}
}

func TestSecretsComeFromAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
		if err == nil {
			_, err = w.WriteString("joe\n")
			_, err2 := w.WriteString("correct horse\n")
			err = errors.Join(err, err2, w.Close())
		}
		written <- err
	}()
	c, err := readCHAP(t.Context(), path)
	if err := errors.Join(err, <-written); err != nil || c.Secret != "correct horse" {
		t.Errorf("read is %+v, %v", c, err)
	}
}
