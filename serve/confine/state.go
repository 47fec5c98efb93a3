package confine

import (
	"fmt"
	"strings"
)

// A State is what confines a process, or what the kernel offers for that.
type State struct {
	NoNewPrivs   bool
	Landlock     int // its ABI; 0: none
	Seccomp      bool
	Capabilities bool // all but a few are dropped
}

// Offered returns what the kernel offers to this program.
func Offered() State {
	return State{NoNewPrivs: true, Landlock: landlockABI(), Seccomp: offersFilter(), Capabilities: true}
}

// Names returns the parts that hold, for people and programs.
func (s State) Names() (names []string) {
	if s.Landlock > 0 {
		names = append(names, fmt.Sprint("Landlock ABI ", s.Landlock))
	}
	for _, part := range []struct {
		holds bool
		name  string
	}{{s.Seccomp, "seccomp"}, {s.Capabilities, "capabilities"}, {s.NoNewPrivs, "no_new_privs"}} {
		if part.holds {
			names = append(names, part.name)
		}
	}
	return names
}

// String returns the names on one line.
func (s State) String() string { return strings.Join(s.Names(), ", ") }
