package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A netrc has logins by host, in the format of ftp(1) and curl(1).
type netrc struct {
	entries []netrcEntry
}

type netrcEntry struct {
	isDefault                bool
	machine, login, password string
}

// readNetrc reads a file that only its owner may read.
func readNetrc(path string) (*netrc, error) {
	text, err := readSetting(path, func(st fs.FileInfo) error {
		if st.Mode()&0o077 == 0 {
			return nil
		}
		return hint.With(fmt.Errorf("%s: others may read or write it", path),
			hint.Command{Words: []string{"chmod", "go=", hint.Path(path)}, Purpose: "to keep them out"})
	})
	if err != nil {
		return nil, err
	}
	n, err := parseNetrc(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// parseNetrc reads words, on any lines: machine with a name, or default, then login,
// password and account with their values. A macro definition ends at an empty line.
// What else there is has no meaning for HTTP.
func parseNetrc(text string) (*netrc, error) {
	n := new(netrc)
	keyword, macro := "", false // keyword is one that waits for its value
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if macro = macro && len(words) > 0; macro || len(words) > 0 && strings.HasPrefix(words[0], "#") {
			continue
		}
		for _, word := range words {
			switch {
			case keyword != "":
				if err := n.set(keyword, word); err != nil {
					return nil, err
				}
				macro = macro || keyword == "macdef"
				keyword = ""
			case word == "default":
				n.entries = append(n.entries, netrcEntry{isDefault: true})
			default:
				keyword = word
			}
			if macro {
				break // the rest of the line is no part of it
			}
		}
	}
	if keyword == "machine" {
		return nil, errNoMachine
	}
	return n, nil
}

// errNoMachine is that of an entry which a careless reader takes for the default.
var errNoMachine = errors.New("has a machine without a name")

// set gives a keyword its value.
func (n *netrc) set(keyword, value string) error {
	last := len(n.entries) - 1
	switch {
	case keyword == "machine":
		if slices.Contains([]string{"machine", "default", "login", "password", "account", "macdef"}, value) {
			return errNoMachine
		}
		n.entries = append(n.entries, netrcEntry{machine: value})
	case keyword == "login" && last >= 0:
		n.entries[last].login = value
	case keyword == "password" && last >= 0:
		n.entries[last].password = value
	}
	return nil
}

// find returns the login for a host: that of the first entry for it. The default
// entry is for the host of the URL that was typed, and for no other that this
// redirects to.
func (n *netrc) find(host string, typed bool) (login, password string, ok bool) {
	for _, e := range n.entries {
		if e.isDefault && typed || !e.isDefault && strings.EqualFold(e.machine, host) {
			return e.login, e.password, true
		}
	}
	return "", "", false
}
