package cli

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
)

// location finds the URL in a word, as in --backing=URL.
var location = regexp.MustCompile(`(?s)[A-Za-z][A-Za-z0-9+.-]*://.*`)

// withoutSecrets returns err without the queries and passwords of the URLs on the
// command line: others may see the terminal or the log. Its text has their names, and
// its commands a placeholder.
func withoutSecrets(err error, args []string) error {
	var pairs []string
	for _, word := range args {
		if url := location.FindString(word); url != "" && image.Typed(url) != image.Name(url) {
			quoted := strconv.Quote(url)
			pairs = append(pairs, url, image.Name(url), quoted[1:len(quoted)-1], image.Name(url))
		}
	}
	if len(pairs) == 0 {
		return err
	}
	names := strings.NewReplacer(pairs...)
	return hint.Rewrite(err, names.Replace, func(word string) string {
		return location.ReplaceAllStringFunc(word, image.Typed)
	})
}
