package cli

import "os"

// sudo is our own command line, to be typed again as root.
func sudo() []string { return append([]string{"sudo"}, os.Args...) }
