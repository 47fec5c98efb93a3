package main

import (
	"slices"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// A user is one that a disk has just now.
type user struct {
	phrase string // "/dev/sdb is mounted on /mnt"

	// passing is one that may be about to go, which nothing announces: udev
	// looks at a disk when its last writer has closed it, and the kernel tells
	// an initiator that it is logged out, or sees it gone, before it forgets the
	// session.
	passing bool
}

// usersHere are those that a disk of this machine has by its node. There are
// none of an empty node.
func usersHere(node string) (all []user) {
	if node == "" {
		return nil
	}
	for _, u := range inuse.Of(node) {
		all = append(all, user{node + " is " + u.String(), u.Transient()})
	}
	return all
}

// phrases are those of the users, each once: who reaches a target reaches all
// its disks.
func phrases(users []user) (all []string) {
	for _, u := range users {
		if !slices.Contains(all, u.phrase) {
			all = append(all, u.phrase)
		}
	}
	return all
}
