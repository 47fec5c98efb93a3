package iscsi

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// CHAP holds the credentials of logins.
type CHAP struct {
	User, Secret             string // of the initiator
	MutualUser, MutualSecret string // of the target; empty if only the initiator authenticates
}

// A chap is the authentication of one login (RFC 7143, 12.1.3).
type chap struct {
	credentials *CHAP
	algorithm   string
	id          byte
	challenge   []byte
}

// errAuthentication is the error of all failures: it does not say what was wrong.
var errAuthentication = errors.New("authentication failed")

// The algorithms, by their numbers in PPP.
const (
	chapMD5    = "5"
	chapSHA256 = "7"
)

// offer chooses an algorithm, and returns the challenge.
func (c *chap) offer(algorithms string) ([]pair, error) {
	if c.algorithm = choose(algorithms, chapMD5, chapSHA256); c.algorithm == reject {
		return nil, errAuthentication
	}
	random := make([]byte, 17)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	c.id, c.challenge = random[0], random[1:]
	return []pair{
		{"CHAP_A", c.algorithm}, {"CHAP_I", strconv.Itoa(int(c.id))}, {"CHAP_C", "0x" + hex.EncodeToString(c.challenge)},
	}, nil
}

// response returns the response to a challenge.
func (c *chap) response(id byte, secret string, challenge []byte) []byte {
	text := append([]byte{id}, secret...)
	text = append(text, challenge...)
	if c.algorithm == chapSHA256 {
		sum := sha256.Sum256(text)
		return sum[:]
	}
	sum := md5.Sum(text)
	return sum[:]
}

// verify checks the response of the initiator. If that asks the target to
// authenticate itself, verify returns the target's response.
func (c *chap) verify(get func(key string) (string, bool)) (answers []pair, err error) {
	if c.challenge == nil {
		return nil, errAuthentication
	}
	user, _ := get("CHAP_N")
	text, _ := get("CHAP_R")
	response, err := parseBinary(text)
	if err != nil {
		return nil, errAuthentication
	}
	want := c.response(c.id, c.credentials.Secret, c.challenge)
	sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(c.credentials.User))
	if sameUser&subtle.ConstantTimeCompare(response, want) != 1 {
		return nil, errAuthentication
	}
	text, asked := get("CHAP_C")
	if !asked {
		return nil, nil
	}
	challenge, err := parseBinary(text)
	idText, _ := get("CHAP_I")
	id, err2 := parseNumber(idText, 0, 255)
	if err != nil || err2 != nil || c.credentials.MutualUser == "" ||
		len(challenge) < 1 || len(challenge) > 1024 || subtle.ConstantTimeCompare(challenge, c.challenge) == 1 {
		return nil, errAuthentication
	}
	ours := c.response(byte(id), c.credentials.MutualSecret, challenge)
	return []pair{{"CHAP_N", c.credentials.MutualUser}, {"CHAP_R", "0x" + hex.EncodeToString(ours)}}, nil
}

// parseBinary parses a binary value, hexadecimal or base64.
func parseBinary(text string) ([]byte, error) {
	if len(text) < 2 {
		return nil, errors.New("not a binary value")
	}
	prefix, digits := strings.ToLower(text[:2]), text[2:]
	switch prefix {
	case "0x":
		if len(digits)%2 != 0 {
			digits = "0" + digits
		}
		return hex.DecodeString(digits)
	case "0b":
		return base64.StdEncoding.DecodeString(digits)
	}
	return nil, errors.New("not a binary value")
}
