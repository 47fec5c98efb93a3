package main

import "github.com/lunserve/lunserve/configfs"

// An undo is what is to be undone, oldest first.
type undo struct{ configfs.Undo }

func (u *undo) push(f func() error) { u.Push(f) }

// run undoes everything, newest first, to the end, and joins the errors. After
// that there is nothing to undo.
func (u *undo) run() error { return u.Close() }
