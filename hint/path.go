package hint

import "strings"

// Path returns path as a word that no program takes for a flag.
func Path(path string) string {
	if strings.HasPrefix(path, "-") {
		return "./" + path
	}
	return path
}
