package e2e

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A lunserve in the background writes its messages to the system's log.
func TestEndInTheBackgroundIsLogged(t *testing.T) {
	needTarget(t)
	const name = "/dev/log"
	if exists(name) {
		if os.Getenv("CI") != "" {
			t.Fatal(name + ": exists already")
		}
		t.Skip(name + ": this machine has a log of its own")
	}
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	defer log.Close()

	image := newImage(t, tmpfsDir(t), 16<<20)
	s := launch(t, exec.Command(binary, "--fork", "--quiet", image))
	disk := s.line()
	s.wait()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run(t, binary, "detach", "--force", image)

	log.SetReadDeadline(time.Now().Add(timeLimit))
	text := make([]byte, 4096)
	n, err := log.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	said := string(text[:n])
	if !strings.Contains(said, "]: "+disk+" is opened by ") || !strings.HasSuffix(said, ": removed anyway\n") {
		t.Errorf("logged is %q", said)
	}
}
