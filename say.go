package main

import (
	"fmt"
	"os"
	"strings"
)

// say writes a line to stderr. One that cannot be written is lost: there is
// nobody to tell.
func say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "lunserve: "+format+"\n", a...)
}

// oneLine is the text of an error, with the errors joined in it side by side.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; also ")
}
