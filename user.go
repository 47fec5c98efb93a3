package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// usersHere are those that a disk of this machine has by its node. There are
// none of an empty node.
func usersHere(node string) (all []control.User) {
	if node == "" {
		return nil
	}
	for _, u := range configfs.InUse(node) {
		all = append(all, parseUser(u.How))
	}
	return all
}

func parseUser(how string) (u control.User) {
	before, process, _ := strings.Cut(how, " for ")
	switch {
	case strings.HasPrefix(how, "opened by "):
		u.Kind, process = control.Process, strings.TrimPrefix(how, "opened by ")
	case strings.HasPrefix(how, "part of "):
		u.Kind, u.Where = control.Holder, strings.TrimPrefix(how, "part of ")
	case strings.HasPrefix(how, "mounted on "):
		u.Kind, u.Where = control.Mount, strings.TrimPrefix(before, "mounted on ")
	default:
		u.Kind = control.Swap
	}
	if i := strings.LastIndex(process, " (pid "); i > 0 {
		u.Command = process[:i]
		fmt.Sscanf(process[i:], " (pid %d)", &u.PID)
	}
	return u
}

// sentences names the users of disks, each once: the users of a target reach
// all of its disks.
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
