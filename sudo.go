package main

import (
	"os"
	"strings"
)

// sudo is our own command line, to be typed again as root.
func sudo() string { return "sudo " + commandLine(os.Args) }

// commandLine is what a shell takes for these arguments.
func commandLine(args []string) string {
	const plain = "/._-+,:=@%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		odd := func(r rune) bool { return r < 128 && !strings.ContainsRune(plain, r) }
		if arg == "" || strings.ContainsFunc(arg, odd) {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
