package cli

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/control"
)

// The section JSON of the manual names each field of the objects that --json prints, and
// no other.
func TestManualNamesTheFieldsOfJSON(t *testing.T) {
	fields := map[string]bool{"schema": true}
	for _, object := range []any{serve.Event{}, control.Disk{}, imageInfo{}, symptom{}} {
		addFields(fields, reflect.TypeOf(object))
	}
	manual, err := os.ReadFile("../man/lunserve.8")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "\n.Sh JSON\n")
	section, _, found := strings.Cut(section, "\n.Sh ")
	if !found {
		t.Fatal("there is no section JSON")
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\.(?:It )?Va (.*)$`).FindAllStringSubmatch(section, -1) {
		for _, word := range strings.Fields(m[1]) {
			if !slices.Contains([]string{",", ".", ";", ":"}, word) {
				named[word] = true
			}
		}
	}
	for name := range fields {
		if !named[name] {
			t.Errorf("the manual does not name %s", name)
		}
	}
	for name := range named {
		if !fields[name] {
			t.Errorf("the manual names %s, which no object has", name)
		}
	}
}

// addFields adds the names of the fields of a type, and of those in it.
func addFields(names map[string]bool, in reflect.Type) {
	for in.Kind() == reflect.Slice || in.Kind() == reflect.Pointer {
		in = in.Elem()
	}
	if in.Kind() != reflect.Struct || in.PkgPath() == "time" {
		return
	}
	for i := range in.NumField() {
		f := in.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" {
			names[name] = true
		}
		if name != "" || f.Anonymous {
			addFields(names, f.Type)
		}
	}
}
