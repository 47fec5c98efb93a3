package iscsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The stages of a login, RFC 7143, 11.12.3.
const (
	security    = 0
	operational = 1
	fullFeature = 3
)

// A refusal is the status of a login that fails: class and detail of RFC 7143,
// 11.13.5, and the reason.
type refusal struct {
	status uint16
	error
}

const (
	initiatorError     = 0x0200
	notAuthenticated   = 0x0201
	notAllowed         = 0x0202
	targetNotFound     = 0x0203
	tooManyConnections = 0x0206
	missingKey         = 0x0207
	noSuchSession      = 0x020a
	targetError        = 0x0300
	outOfResources     = 0x0302
)

func refuse(status uint16, format string, args ...any) error {
	return refusal{status, fmt.Errorf(format, args...)}
}

// A login is the login phase of a connection.
type login struct {
	c             *conn
	first         header // of the first request
	text          []byte // of requests that continue
	named         bool   // the first keys were taken
	target        string // that the initiator wants
	chap          *chap  // nil without CHAP
	mustCHAP      bool
	authenticated bool
	declared      bool // our own keys were sent
	stage         byte
	seen          map[string]bool // keys of the operational stage
	answers       []byte
}

// login is the login phase. The caller sends nothing before it returns.
func (c *conn) login() error {
	l := &login{c: c, seen: make(map[string]bool)}
	for requests := 0; ; requests++ {
		var h header
		if _, err := c.in.header(&h); err != nil {
			return err
		}
		if h.op() != opLogin || h.dataBytes() > maxValue || requests > 64 {
			return fmt.Errorf("%w: PDU %#02x in a login", errProtocol, h.op())
		}
		data, err := c.in.small()
		if err != nil {
			return err
		}
		if requests == 0 {
			l.begin(&h)
		}
		done, err := l.request(&h, data)
		if err != nil {
			return l.refuse(&h, err)
		}
		if done {
			return nil
		}
	}
}

// begin takes the first request.
func (l *login) begin(h *header) {
	l.first = *h
	l.stage = h[1] >> 2 & 3
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.statSN = h.word(28)
	l.c.window = newWindow(h.cmdSN())
}

// request takes a request and answers it, and reports whether the login is complete.
func (l *login) request(h *header, data []byte) (done bool, err error) {
	stage, next, transit := h[1]>>2&3, h[1]&3, h.flag(final)
	switch {
	case [8]byte(h[8:16]) != [8]byte(l.first[8:16]) || h.tag() != l.first.tag():
		return false, refuse(initiatorError, "ISID, TSIH or task tag change")
	case stage != l.stage || stage != security && stage != operational:
		return false, refuse(initiatorError, "stage %d", stage)
	case transit && (next <= stage || next != operational && next != fullFeature || h.flag(more)):
		return false, refuse(initiatorError, "transit from stage %d to %d", stage, next)
	case h[3] > 0: // VersionMin
		return false, refuse(0x0205, "version %d", h[3])
	}
	if l.text = append(l.text, data...); len(l.text) > maxText {
		return false, refuse(initiatorError, "more than %d bytes of keys", maxText)
	}
	if h.flag(more) {
		return false, l.answer(h, stage, false, next)
	}
	pairs, err := parseText(l.text)
	l.text = l.text[:0]
	if err != nil {
		return false, refusal{initiatorError, err}
	}
	if !l.named {
		if pairs, err = l.name(pairs); err != nil {
			return false, err
		}
	}
	if stage == security {
		err = l.secure(pairs)
	} else {
		err = l.operate(pairs)
	}
	if err != nil {
		return false, err
	}
	if stage == security && !l.authenticated {
		transit = false
	}
	if transit && next == fullFeature {
		if !l.authenticated {
			return false, refusal{notAuthenticated, errAuthentication}
		}
		if err := l.c.target.enter(l.c); err != nil {
			return false, err
		}
	}
	if transit {
		l.stage = next
	}
	return transit && next == fullFeature, l.answer(h, stage, transit, next)
}

// name takes the keys of the first request that say who wants what, and returns the
// others.
func (l *login) name(pairs []pair) (others []pair, err error) {
	c := l.c
	l.named = true
	for _, p := range pairs {
		switch p.key {
		case "InitiatorName":
			c.initiator = strings.ToLower(p.value)
		case "TargetName":
			l.target = strings.ToLower(p.value)
		case "SessionType":
			c.params.discovery = p.value == "Discovery"
			if p.value != "Discovery" && p.value != "Normal" {
				return nil, refuse(0x0209, "SessionType=%s", brief(p.value))
			}
		case "InitiatorAlias":
		default:
			others = append(others, p)
		}
	}
	o := &c.target.options
	tsih := binary.BigEndian.Uint16(l.first[14:])
	switch {
	case c.initiator == "" || len(c.initiator) > maxName:
		return nil, refuse(missingKey, "no InitiatorName")
	case !c.params.discovery && l.target == "":
		return nil, refuse(missingKey, "no TargetName")
	case !c.params.discovery && l.target != o.Name:
		return nil, refuse(targetNotFound, "no target %q", brief(l.target))
	case tsih != 0: // another connection of a session
		c.target.mu.Lock()
		defer c.target.mu.Unlock()
		if !c.target.hasSession(tsih) {
			return nil, refuse(noSuchSession, "no such session")
		}
		return nil, refuse(tooManyConnections, "a second connection of a session")
	case !c.params.discovery && !o.allows(c.initiator):
		return nil, refuse(notAllowed, "not allowed")
	}
	c.port = fmt.Sprintf("%s,i,0x%x", c.initiator, l.first[8:14])
	l.mustCHAP = o.CHAP != nil && !c.params.discovery
	l.authenticated = !l.mustCHAP
	if !c.params.discovery {
		l.answers = appendPair(l.answers, "TargetPortalGroupTag", portalGroup)
	}
	return others, nil
}

// secure takes the keys of the security stage.
func (l *login) secure(pairs []pair) error {
	get := func(key string) (string, bool) {
		for _, p := range pairs {
			if p.key == key {
				return p.value, true
			}
		}
		return "", false
	}
	var answers []pair
	var err error
	for _, p := range pairs {
		switch p.key {
		case "AuthMethod":
			method := choose(p.value, l.methods()...)
			if method == reject || l.chap != nil {
				return refusal{notAuthenticated, errAuthentication}
			}
			if method == "CHAP" {
				l.chap, l.authenticated = &chap{credentials: l.c.target.options.CHAP}, false
			}
			answers = append(answers, pair{"AuthMethod", method})
		case "CHAP_A", "CHAP_N":
			if l.chap == nil || l.authenticated {
				return refusal{notAuthenticated, errAuthentication}
			}
			var more []pair
			if p.key == "CHAP_A" {
				more, err = l.chap.offer(p.value)
			} else if more, err = l.chap.verify(get); err == nil {
				l.authenticated = true
			}
			if err != nil {
				return refusal{notAuthenticated, err}
			}
			answers = append(answers, more...)
		case "CHAP_I", "CHAP_C", "CHAP_R": // taken with CHAP_N
		default:
			answers = append(answers, pair{p.key, notUnderstood})
		}
	}
	for _, a := range answers {
		l.answers = appendPair(l.answers, a.key, a.value)
	}
	return nil
}

// methods returns the methods of authentication that a login may choose.
func (l *login) methods() []string {
	switch {
	case l.mustCHAP:
		return []string{"CHAP"}
	case l.c.target.options.CHAP != nil:
		return []string{"None", "CHAP"}
	}
	return []string{"None"}
}

// operate takes the keys of the operational stage.
func (l *login) operate(pairs []pair) error {
	p := &l.c.params
	for _, kv := range pairs {
		if l.seen[kv.key] || len(l.seen) == maxPairs {
			return refuse(initiatorError, "the key %s twice", kv.key)
		}
		l.seen[kv.key] = true
		if kv.value == reject || kv.value == irrelevant || kv.value == notUnderstood {
			continue // an answer to one of our keys
		}
		answer, err := p.negotiate(kv.key, kv.value)
		if err != nil {
			return refusal{initiatorError, err}
		}
		if answer != "" {
			l.answers = appendPair(l.answers, kv.key, answer)
		}
	}
	if !l.declared {
		l.declared = true
		l.answers = appendPair(l.answers, "MaxRecvDataSegmentLength", strconv.Itoa(maxDataSegment))
	}
	return nil
}

// answer sends the response to a request. After the last one the parameters apply.
func (l *login) answer(h *header, stage byte, transit bool, next byte) error {
	c := l.c
	a := h.answer(opLoginResponse)
	a[1] = stage << 2
	copy(a[8:14], h[8:14]) // ISID
	if transit {
		a[1] |= final | next
	}
	done := transit && next == fullFeature
	if done {
		a[14], a[15] = byte(c.tsih>>8), byte(c.tsih)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(&a, l.answers, true)
	l.answers = nil
	err := c.out.flush()
	if done {
		c.in.headerDigest, c.in.dataDigest = c.params.headerDigest, c.params.dataDigest
		c.out.headerDigest, c.out.dataDigest = c.params.headerDigest, c.params.dataDigest
	}
	return err
}

// refuse sends a response with the status of err.
func (l *login) refuse(h *header, err error) error {
	var r refusal
	if !errors.As(err, &r) {
		return err
	}
	c := l.c
	a := h.answer(opLoginResponse)
	a[1] = h[1] & 0x0c
	copy(a[8:16], h[8:16])
	a[36], a[37] = byte(r.status>>8), byte(r.status)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(&a, nil, true)
	return fmt.Errorf("login of %q: %w", brief(c.initiator), err)
}
