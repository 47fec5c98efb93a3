package cli

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/hint"
)

// take takes the next word as the value of f, if f takes one.
func (l *commandLine) take(f *kong.Flag) error {
	if f.IsBool() {
		l.flags = append(l.flags, given{f, nil})
		return nil
	}
	if l.at == len(l.typed) || len(l.typed[l.at]) > 1 && l.typed[l.at][0] == '-' {
		return l.noValue(f, "needs a value", l.at-1, 1)
	}
	l.at++
	return l.give(f, l.typed[l.at-1], l.at-2)
}

// booleans are the values that kong takes for a flag.
var booleans = []string{"true", "false", "1", "0", "yes", "no"}

// give gives f a value; both begin at the word i.
func (l *commandLine) give(f *kong.Flag, value string, i int) error {
	n := l.at - i
	switch {
	case value == "":
		// It comes from an empty variable. --overlay "" would write to the image.
		return l.noValue(f, "is empty", i, n)
	case f.Target.Kind() == reflect.Bool && !slices.Contains(booleans, strings.ToLower(value)):
		return misuse("--%s is true or false", f.Name)
	}
	_, isSize := reflect.New(f.Target.Type()).Interface().(*size)
	if l.at < len(l.typed) && (isSize || f.PlaceHolder == "SIZE") && isUnit(l.typed[l.at]) {
		if whole := value + l.typed[l.at]; check(f.Value, whole) == nil {
			return hint.With(misuse("--%s %s %s: a size is one word", f.Name, value, l.typed[l.at]), l.instead(i, n+1, "--"+f.Name, whole))
		}
	}
	if value == "-" && f.Tag.Has("complete") {
		return misuse("--%s -: %s", f.Name, notStandard)
	}
	if err := check(f.Value, value); err != nil {
		better, err := withoutHints(err)
		err = misuse("--%s: %w", f.Name, err)
		for j, c := range better {
			better[j] = l.instead(i, n, "--"+f.Name+"="+c.Words[0])
		}
		return hint.With(err, better...)
	}
	l.flags = append(l.flags, given{f, &value})
	return nil
}

// noValue returns the error of a flag without a value, whose n words begin at i.
// A placeholder is no hint: --overlay=FILE would make a file of that name.
func (l *commandLine) noValue(f *kong.Flag, is string, i, n int) error {
	example := f.Default
	switch f.PlaceHolder {
	case "SIZE":
		example = cmp.Or(example, "10G")
	case "TIME":
		example = "10s"
	}
	if example == "" {
		return misuse("--%s %s; it is --%s=%s", f.Name, is, f.Name, f.FormatPlaceHolder())
	}
	return hint.With(misuse("--%s %s", f.Name, is), l.instead(i, n, "--"+f.Name+"="+example))
}

// check checks the spelling of a value. The hints of the error are better ones.
func check(v *kong.Value, word string) error {
	t := v.Target.Type()
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(word))
	}
	if v.Enum == "" || slices.Contains(v.EnumSlice(), word) {
		return nil
	}
	err := fmt.Errorf("%q is not one of %s", word, strings.Join(v.EnumSlice(), ", "))
	for _, near := range hint.Near(word, v.EnumSlice()) {
		err = hint.Try(err, near)
	}
	return err
}
