package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/lunserve/lunserve/hint"
)

// needRoot returns an error unless the process is root. The hints are our own command
// line with sudo and, if that asks for nothing that needs the kernel, the way without.
func (c *serveCmd) needRoot() error {
	if os.Geteuid() == 0 || c.Userspace {
		return nil
	}
	try := []hint.Command{{Words: append(sudo(), os.Args[1:]...)}}
	if !c.Loopback && !c.Vhost && !c.Restart {
		try = append(try, hint.Command{Words: []string{"--userspace"}, Purpose: "to serve iSCSI without root"})
	}
	return hint.With(errors.New("must be root to make a disk"), try...)
}

// sudo returns the words that run this program as root. Unlike the shell of its user,
// sudo does not look into folders such as ~/go/bin, where go install puts it, so there
// the words have the path.
func sudo() []string {
	name := os.Args[0]
	searched := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	if path, err := exec.LookPath(name); err == nil && !slices.Contains(searched, filepath.Dir(path)) {
		name = path
	}
	return []string{"sudo", name}
}
