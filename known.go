package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/configfs"
)

// A known is a disk that some lunserve of this machine has made.
type known struct {
	state
	kernel configfs.Export
	silent bool // its lunserve does not answer
}

// dial finds the lunserve of the disk, unless that is known not to answer.
func (k *known) dial() (*peer, error) {
	if k.silent {
		return nil, silent(k.PID)
	}
	return dial(k.PID)
}

// running are all such disks, by name. The kernel knows of each; what their
// processes tell is added as far as they answer.
func running() ([]known, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("must be root to see the disks; try %s", sudo())
	}
	exports, err := configfs.Exports()
	if err != nil {
		return nil, err
	}
	var all []known
	told := make(map[string]state)
	answers := make(map[int]error)
	for _, e := range exports {
		if _, asked := answers[e.PID]; e.Alive && !asked {
			states, err := show(e.PID)
			for _, s := range states {
				told[s.Name] = s
			}
			if answers[e.PID] = err; err == silent(e.PID) {
				con.Warn(err)
			}
		}
		s, ok := told[e.Name]
		if !ok {
			s = state{Name: e.Name, Image: e.Image, Size: e.Size, PID: e.PID, Dead: !e.Alive}
			if len(e.Nodes) > 0 {
				s.Device = e.Nodes[0]
				s.Users = phrases(usersHere(s.Device))
			}
		}
		all = append(all, known{s, e, answers[e.PID] == silent(e.PID)})
	}
	slices.SortFunc(all, func(a, b known) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// show are the disks of a lunserve, as it tells itself.
func show(pid int) ([]state, error) {
	p, err := dial(pid)
	if err != nil {
		return nil, err
	}
	defer p.close()
	answer, err := p.ask(request{Do: "show"})
	return answer.Disks, err
}

// calls tells whether what a user typed means the disk.
func (k *known) calls(what string) bool {
	if slices.Contains([]string{k.Name, k.Device, strings.TrimPrefix(k.Device, "/dev/"), k.URI, k.WWPN}, what) {
		return what != ""
	}
	if path, err := filepath.Abs(what); err == nil && path == k.Image {
		return what != "" // even if it is gone
	}
	typed, err := os.Stat(what)
	if err != nil {
		return false
	}
	image, err := os.Stat(k.Image)
	return err == nil && os.SameFile(typed, image)
}

// find finds one disk for each word.
func find(words []string) (all, found []known, err error) {
	if all, err = running(); err != nil {
		return nil, nil, err
	}
	for _, word := range words {
		var names []string
		for _, k := range all {
			if k.calls(word) {
				found = append(found, k)
				names = append(names, k.Name)
			}
		}
		switch len(names) {
		case 0:
			return nil, nil, fmt.Errorf("%s: is no disk of a lunserve; try lunserve list", word)
		case 1:
		default:
			return nil, nil, fmt.Errorf("%s: may be any of %s; give one of these names", word, strings.Join(names, ", "))
		}
	}
	return all, found, nil
}
