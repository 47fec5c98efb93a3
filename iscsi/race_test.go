//go:build race

package iscsi

// race: sync.Pool drops some of what it is given.
const race = true
