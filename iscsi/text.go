package iscsi

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A pair is a key and its value in the data segment of a login or a text PDU
// (RFC 7143, 6.1 (Text Format)).
type pair struct{ key, value string }

const (
	maxText  = 16 << 10 // bytes of all PDUs of a negotiation
	maxKey   = 63
	maxValue = 8192
	maxName  = 223 // of an iSCSI name
)

// parseText parses the pairs of a data segment. No key is there twice.
func parseText(text []byte) (pairs []pair, err error) {
	for part := range bytes.SplitSeq(bytes.TrimRight(text, "\x00"), []byte{0}) {
		if len(part) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(part), "=")
		switch {
		case !ok || key == "" || len(key) > maxKey || len(value) > maxValue:
			return nil, errors.New("text that is not KEY=VALUE")
		case len(pairs) == maxPairs:
			return nil, fmt.Errorf("more than %d keys", maxPairs)
		}
		for _, p := range pairs {
			if p.key == key {
				return nil, fmt.Errorf("the key %s twice", key)
			}
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// maxPairs is more than the keys that exist.
const maxPairs = 64

// appendPair appends a pair to a data segment.
func appendPair(text []byte, key, value string) []byte {
	text = append(text, key...)
	text = append(text, '=')
	text = append(text, value...)
	return append(text, 0)
}

// parseNumber parses a numerical value, decimal or hexadecimal, within bounds.
func parseNumber(value string, least, most uint64) (int, error) {
	base := 10
	digits, hex := strings.CutPrefix(strings.ToLower(value), "0x")
	if hex {
		base = 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q: not a number from %d to %d", brief(value), least, most)
	}
	return int(n), nil
}

// brief returns what an error says of a value: an initiator may send a long one.
func brief(value string) string {
	if len(value) > maxName {
		return value[:maxName] + "..."
	}
	return value
}

// parseBool parses a boolean value.
func parseBool(value string) (bool, error) {
	if value != "Yes" && value != "No" {
		return false, fmt.Errorf("%q: neither Yes nor No", brief(value))
	}
	return value == "Yes", nil
}

func formatBool(v bool) string {
	if v {
		return "Yes"
	}
	return "No"
}

// choose returns the first value of a list that is one of ours, or "Reject".
func choose(list string, ours ...string) string {
	for value := range strings.SplitSeq(list, ",") {
		for _, our := range ours {
			if value == our {
				return value
			}
		}
	}
	return reject
}

// Answers to a key other than a value.
const (
	reject        = "Reject"
	irrelevant    = "Irrelevant"
	notUnderstood = "NotUnderstood"
)
