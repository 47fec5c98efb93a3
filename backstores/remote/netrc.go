package remote

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/lunserve/lunserve/hint"
)

// A netrc has logins by host, in the format of ftp(1) and curl(1).
type netrc struct {
	entries []netrcEntry
}

type netrcEntry struct{ machine, login, password string }

// readNetrc reads a file that only its owner may read.
func readNetrc(path string) (*netrc, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case st.Mode().IsRegular() && st.Mode()&0o077 != 0:
		return nil, hint.With(fmt.Errorf("%s: others may read or write it", path),
			hint.Command{Words: []string{"chmod", "go=", hint.Path(path)}, Purpose: "to keep them out"})
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parseNetrc(string(text)), nil
}

// parseNetrc reads words: machine or default, then login, password and account
// with their values. A macro definition ends at an empty line. What else there is
// has no meaning for HTTP.
func parseNetrc(text string) *netrc {
	n := new(netrc)
	macro := false
	for line := range strings.Lines(text) {
		if macro = macro && strings.TrimSpace(line) != ""; macro {
			continue
		}
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		words := strings.Fields(line)
		for i := 0; i < len(words); i++ {
			value := ""
			if i+1 < len(words) {
				value = words[i+1]
			}
			last := len(n.entries) - 1
			switch words[i] {
			case "default":
				n.entries = append(n.entries, netrcEntry{})
				continue
			case "macdef":
				macro = true
			case "machine":
				n.entries = append(n.entries, netrcEntry{machine: value})
			case "login":
				if last >= 0 {
					n.entries[last].login = value
				}
			case "password":
				if last >= 0 {
					n.entries[last].password = value
				}
			}
			i++
		}
	}
	return n
}

// find returns the login for a host: that of the first entry for it. The default
// entry is for the host of the URL that was typed, and for no other that this
// redirects to.
func (n *netrc) find(host string, typed bool) (login, password string, ok bool) {
	for _, e := range n.entries {
		if e.machine == "" && typed || e.machine != "" && strings.EqualFold(e.machine, host) {
			return e.login, e.password, true
		}
	}
	return "", "", false
}
