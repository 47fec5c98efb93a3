package control

import (
	"encoding/base64"
	"reflect"
	"strings"
	"unicode/utf8"
)

// A string in JSON is UTF-8, and the name of a file is any bytes. A string that
// is not UTF-8 passes the socket as base64 after a zero byte, which no name
// holds. So the two ends mean the same file.
const encoded = "\x00"

func encodeString(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, encoded) {
		return s
	}
	return encoded + base64.StdEncoding.EncodeToString([]byte(s))
}

func decodeString(s string) string {
	if text, ok := strings.CutPrefix(s, encoded); ok {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return string(b)
		}
	}
	return s
}

// mapStrings returns a copy of v in which f has replaced every string. Fields
// that are not exported are shared with v.
func mapStrings(v reflect.Value, f func(string) string) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch v.Kind() {
	case reflect.String:
		c.SetString(f(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			c.Set(reflect.New(v.Type().Elem()))
			c.Elem().Set(mapStrings(v.Elem(), f))
		}
	case reflect.Slice:
		if !v.IsNil() {
			c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				c.Index(i).Set(mapStrings(v.Index(i), f))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.Field(i).Set(mapStrings(v.Field(i), f))
			}
		}
	}
	return c
}
