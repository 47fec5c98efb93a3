package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
)

// An image on the command line may have words behind its name, as in
// disk.img,ro or db.img,overlay=changes. They say what is done with this image, in the
// place of the flags; --read-only lasts unless the word is rw. A name that has a file is
// a name, whatever is in it.

// An imageWord is a word, which sets what it says.
type imageWord struct {
	name  string
	value string               // what it takes, as in the manual, or empty
	drop  func(i *serve.Image) // the flags that it replaces
	set   func(i *serve.Image, value string) error
}

func dropLayers(i *serve.Image) { i.Snapshot, i.Overlay = false, "" }
func dropPart(i *serve.Image)   { i.Part = serve.Part{} }
func dropAllLayers(i *serve.Image) {
	i.ReadOnly = false
	dropLayers(i)
}

var imageWords = []imageWord{
	{"ro", "", dropLayers, func(i *serve.Image, _ string) error { i.ReadOnly = true; return nil }},
	{"rw", "", dropAllLayers, func(*serve.Image, string) error { return nil }},
	{"snapshot", "", dropLayers, func(i *serve.Image, _ string) error { i.Snapshot = true; return nil }},
	{"overlay", "FILE", dropLayers, func(i *serve.Image, value string) error { i.Overlay = value; return nil }},
	{"partition", "N", dropPart, func(i *serve.Image, value string) error {
		return (*ordinal)(&i.Part.Partition).UnmarshalText([]byte(value))
	}},
	{"offset", "SIZE", dropPart, func(i *serve.Image, value string) error {
		return (*offset)(&i.Part.Offset).UnmarshalText([]byte(value))
	}},
	{"sizelimit", "SIZE", dropPart, func(i *serve.Image, value string) error {
		return (*size)(&i.Part.Limit).UnmarshalText([]byte(value))
	}},
}

// findWord returns what a text says that may be a word with its value, or nil.
func findWord(text string) (w *imageWord, value string) {
	name, value, has := strings.Cut(text, "=")
	i := slices.IndexFunc(imageWords, func(w imageWord) bool { return w.name == name && (w.value != "") == has })
	if i < 0 || has && value == "" {
		return nil, ""
	}
	return &imageWords[i], value
}

// splitImage splits an argument into the name of an image and the words behind it.
func splitImage(arg string) (path string, words []string) {
	for path = arg; ; {
		i := strings.LastIndexByte(path, ',')
		if i <= 0 || exists(path) { // storage is asked only if it matters, since it may hang
			break
		}
		if w, _ := findWord(path[i+1:]); w == nil {
			break
		}
		path, words = path[:i], append(words, path[i+1:])
	}
	slices.Reverse(words)
	return path, words
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// parseImage returns the image of an argument, and what its words leave of the flags.
func parseImage(arg string, flags serve.Image) (i, left serve.Image, err error) {
	path, words := splitImage(arg)
	if at := strings.LastIndexByte(path, ','); at > 0 && exists(path[:at]) && !exists(path) {
		return i, left, notWord(path[:at], path[at+1:])
	}
	left = flags
	for _, text := range words {
		w, _ := findWord(text)
		w.drop(&left)
	}
	i = left
	i.Path = path
	for _, text := range words {
		w, value := findWord(text)
		if err := w.set(&i, value); err != nil {
			return i, left, misuse("%s: %s: %w", image.Name(path), w.name, err)
		}
	}
	has := func(name string) bool { return slices.Contains(words, name) }
	switch {
	case has("rw") && has("ro") || i.Snapshot && (has("rw") || has("ro") || has("snapshot") && i.Overlay != ""):
		return i, left, misuse("%s: %s: these words contradict each other", image.Name(path), strings.Join(words, ","))
	case has("snapshot") && i.ReadOnly:
		return i, left, misuse("%s: --read-only refuses the writes that snapshot is for; leave out one of them", image.Name(path))
	case i.Part != left.Part && i.Part.Partition > 0 && (i.Part.Offset > 0 || i.Part.Limit > 0):
		return i, left, misuse("%s: partition says where the part begins and ends; leave out offset and sizelimit", image.Name(path))
	}
	return i, left, nil
}

// isWritten reports whether a word is for an image whose disk is written.
func isWritten(word string) bool {
	return word == "rw" || word == "snapshot" || strings.HasPrefix(word, "overlay=")
}

// notWord is the error of what is behind a comma and no word.
func notWord(path, text string) error {
	var names, forms []string
	for _, w := range imageWords {
		names = append(names, w.name)
		if w.value != "" {
			forms = append(forms, w.name+"="+w.value)
		} else {
			forms = append(forms, w.name)
		}
	}
	err := misuse("%s: %q is not one of %s", path, text, strings.Join(forms, ", "))
	for _, near := range hint.Near(text, names) {
		if w, _ := findWord(near); w != nil { // it takes no value
			err = hint.With(err, hint.Command{Words: []string{path + "," + near}, Instead: path + "," + text})
		}
	}
	return err
}
