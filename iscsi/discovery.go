package iscsi

import (
	"net"
	"net/netip"
	"strings"
)

// portalGroup is the tag of the one portal group, which has all portals.
const portalGroup = "1"

// text answers a text request: SendTargets (RFC 7143, Appendix C).
func (c *conn) text(h *header) error {
	if h.dataBytes() > maxSmall {
		return c.refuse(h, invalidPDUField)
	}
	data, err := c.in.small()
	if err != nil {
		return err
	}
	if h.flag(more) || h.targetTag() != noTag { // a request of several PDUs
		return c.reject(h, notSupported)
	}
	pairs, err := parseText(data)
	if err != nil {
		return c.refuse(h, protocolError)
	}
	var answer []byte
	c.mu.Lock()
	for _, p := range pairs {
		switch p.key {
		case "SendTargets":
			answer = c.sendTargets(answer, p.value)
		case "MaxRecvDataSegmentLength":
			if n, err := parseNumber(p.value, minLength, maxLength); err == nil {
				c.params.maxSend = n
			}
		default:
			answer = appendPair(answer, p.key, reject)
		}
	}
	most := c.params.maxSend
	c.mu.Unlock()
	for len(answer) > most { // whole keys only
		answer = answer[:strings.LastIndexByte(string(answer[:len(answer)-1]), 0)+1]
	}
	a := h.answer(opTextResponse)
	copy(a[8:16], h[8:16])
	a.setWord(20, noTag)
	c.answer(a, answer)
	return nil
}

// sendTargets appends the name and the addresses of the target.
func (c *conn) sendTargets(text []byte, which string) []byte {
	name := c.target.options.Name
	switch {
	case c.params.discovery && which != "All" && which != name,
		!c.params.discovery && which != "" && which != name:
		return text
	}
	text = appendPair(text, "TargetName", name)
	for _, a := range c.target.addresses(c.net.LocalAddr()) {
		text = appendPair(text, "TargetAddress", a+","+portalGroup)
	}
	return text
}

// addresses returns where the target listens: first the address that the initiator
// has reached, which one that listens at all addresses does not know.
func (t *Target) addresses(reached net.Addr) []string {
	all := []string{reached.String()}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.listeners {
		p, err := netip.ParseAddrPort(l.Addr().String())
		if err == nil && !p.Addr().IsUnspecified() && p.String() != all[0] {
			all = append(all, p.String())
		}
	}
	return all
}
