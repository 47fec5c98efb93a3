package cli

import (
	"encoding/json"
	"os"
)

// printJSON prints one value, indented.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
