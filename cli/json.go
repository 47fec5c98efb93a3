package cli

import (
	"encoding/json"
	"os"
)

// printJSON prints a value that is all there is to tell, for people to read, too.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
