package serve

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
)

// usersAt returns the users of a disk at a place. The guard looks for a confined
// server, from which Landlock and the lack of CAP_SYS_PTRACE hide other processes.
func (s *service) usersAt(at guard.Place) []inuse.User {
	if s.guard == nil || !s.confined.NoNewPrivs {
		return at.Users()
	}
	return usersSeen(at, s.guard.Users)
}

// usersSeen returns the users of a disk as a guard sees them. If the guard is blind, as
// a warning has said, it returns those that this process sees. If the guard should see
// and does not answer, one that is unknown joins them: the disk is not taken for unused.
func usersSeen(at guard.Place, ask func(guard.Place) ([]inuse.User, error)) []inuse.User {
	users, err := ask(at)
	switch {
	case err == nil:
		return users
	case errors.Is(err, guard.ErrBlind):
		return at.Users()
	}
	return append(at.Users(), inuse.User{Kind: inuse.Unknown, Where: err.Error()})
}

// leaveTime limits the wait for users that may be about to leave.
const leaveTime = 2 * time.Second

// users returns a text that names the users of the disks, or "". It waits up to
// leaveTime for users that may be about to leave. Only here it matters if a part of
// the kernel uses a disk that nothing else shows: the disk is about to be removed. A mount
// that is excused is no user, and hides that part of the kernel.
func (s *service) users(excused *mount) string {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(leaveTime); ; <-tick.C {
		disks := s.statesWithUsers()
		used, stays := false, false
		for i := range disks {
			d := &disks[i]
			d.Users = slices.DeleteFunc(d.Users, excused.is)
			if len(d.Users) == 0 && excused == nil {
				d.Users = KernelUser(d.Device)
			}
			used = used || len(d.Users) > 0
			stays = stays || slices.ContainsFunc(d.Users, func(u inuse.User) bool { return !u.Transient() })
		}
		if !used || stays || time.Now().After(end) {
			return strings.Join(sentences(disks...), ", ")
		}
	}
}

// inUse is users, and unmounts what this process has mounted if there is no other user.
// A process with open files there is one, and so is a user that is left when nothing is
// mounted.
func (s *service) inUse() string {
	if s.mount != nil {
		if users := s.users(s.mount); users != "" {
			return users
		}
		if users := s.mount.leave(); users != "" {
			return users
		}
	}
	return s.users(nil)
}

// KernelUser returns the user of a local disk that only the kernel knows, if there
// is one. Nobody else can mount the disk meanwhile, so call it when nothing else
// keeps the disk from being removed.
func KernelUser(node string) []inuse.User {
	if node == "" {
		return nil
	}
	if u, ok := inuse.Claim(node); ok {
		return []inuse.User{u}
	}
	return nil
}

// usersOf returns the users of a disk through all fabrics.
func (s *service) usersOf(d *disk) (all []inuse.User) {
	for _, f := range s.fabrics {
		all = append(all, f.users(d.address)...)
	}
	return all
}

// sentences names the users of disks, each once: the users of a target reach all
// of its disks.
func sentences(disks ...control.Disk) (all []string) {
	for _, d := range disks {
		for _, text := range d.Sentences() {
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}
