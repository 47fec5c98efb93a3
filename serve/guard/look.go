package guard

import (
	"errors"
	"os"
	"time"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
)

// A server that is confined cannot see which files other processes have open: the
// kernel shows these only to a process that may do all that they may. So it asks its
// guard, which it has started before.

// A Place is where a disk is used: by its node, such as /dev/sdb, or as a part of a
// target of virtual machines, by its WWN.
type Place struct{ Node, WWN string }

// Users returns the users of the disk at a place that this process can see.
func (p Place) Users() (all []inuse.User) {
	if p.Node != "" {
		all = inuse.Of(p.Node)
	}
	if p.WWN != "" {
		all = append(all, inuse.Machines(configfs.Machines(p.WWN))...)
	}
	return all
}

// ErrBlind is the error of a guard that does not see other processes: a confined
// server has started it.
var ErrBlind = errors.New("it is no longer seen which processes use the disks")

// confined is the environment variable of processes that a confined one starts.
const confined = "LUNSERVE_CONFINED"

func isConfined() bool { return os.Getenv(confined) != "" }

// Users asks the guard for the users of the disk at a place. Who asks for many disks
// waits once for a guard that does not answer.
func (g *Guard) Users(p Place) (all []inuse.User, err error) {
	var a answer
	for {
		g.mu.Lock()
		changed, silent := g.changed, time.Now().Before(g.silent)
		g.mu.Unlock()
		if silent {
			return nil, errSilent
		}
		if a, err = g.ask(question{Place: p}, nil); err != errGone {
			break
		}
		<-changed // soon: to another guard, or to none
	}
	if err == errSilent {
		g.mu.Lock()
		g.silent = time.Now().Add(askTime)
		g.mu.Unlock()
	}
	for _, u := range a.Users {
		all = append(all, inuse.User{Kind: u.Kind, Where: string(u.Where), PID: u.PID, Command: string(u.Command)})
	}
	return all, err
}
