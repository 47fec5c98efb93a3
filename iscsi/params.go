package iscsi

import (
	"fmt"
	"strconv"
)

const (
	maxBurst      = 1 << 20   // our MaxBurstLength
	maxFirstBurst = 128 << 10 // our FirstBurstLength
	maxLength     = 1<<24 - 1 // of the keys that are lengths
	minLength     = 512
)

// params are the operational parameters of a session (RFC 7143, 13 (Login/Text
// Operational Text Keys)).
type params struct {
	discovery                bool
	headerDigest, dataDigest bool
	initialR2T               bool
	immediateData            bool
	maxSend                  int // MaxRecvDataSegmentLength of the initiator
	maxBurst                 int
	firstBurst               int
}

// defaults are the parameters that were not negotiated.
func defaults() params {
	return params{initialR2T: true, immediateData: true, maxSend: 8192, maxBurst: 256 << 10, firstBurst: 64 << 10}
}

// negotiate takes a key of the operational stage, and returns the answer, or "" if
// the key needs none.
func (p *params) negotiate(key, value string) (answer string, err error) {
	if p.discovery && session[key] {
		return irrelevant, nil
	}
	length := func() (n int) {
		n, err = parseNumber(value, minLength, maxLength)
		return n
	}
	lesser := func(most, ours uint64) string {
		var n int
		n, err = parseNumber(value, 0, most)
		return strconv.FormatUint(min(uint64(n), ours), 10)
	}
	yes := func() (v bool) {
		v, err = parseBool(value)
		return v
	}
	switch key {
	case "HeaderDigest":
		answer = choose(value, "CRC32C", "None")
		p.headerDigest = answer == "CRC32C"
	case "DataDigest":
		answer = choose(value, "CRC32C", "None")
		p.dataDigest = answer == "CRC32C"
	case "InitialR2T": // OR
		p.initialR2T = yes()
		answer = formatBool(p.initialR2T)
	case "ImmediateData": // AND
		p.immediateData = yes()
		answer = formatBool(p.immediateData)
	case "MaxRecvDataSegmentLength":
		p.maxSend = length()
	case "MaxBurstLength":
		p.maxBurst = min(length(), maxBurst)
		answer = strconv.Itoa(p.maxBurst)
	case "FirstBurstLength":
		// A MaxBurstLength that is less may follow: what was answered holds, and
		// more than a burst is taken.
		p.firstBurst = min(length(), maxFirstBurst, p.maxBurst)
		answer = strconv.Itoa(p.firstBurst)
	case "MaxConnections", "MaxOutstandingR2T":
		if _, err = parseNumber(value, 1, 65535); err == nil {
			answer = "1"
		}
	case "DefaultTime2Wait": // the greater; ours is 0
		var n int
		n, err = parseNumber(value, 0, 3600)
		answer = strconv.Itoa(n)
	case "DefaultTime2Retain":
		answer = lesser(3600, 0)
	case "ErrorRecoveryLevel":
		answer = lesser(2, 0)
	case "iSCSIProtocolLevel":
		answer = lesser(31, 1)
	case "DataPDUInOrder", "DataSequenceInOrder": // OR
		yes()
		answer = "Yes"
	case "OFMarker", "IFMarker", "RDMAExtensions": // AND
		yes()
		answer = "No"
	case "TaskReporting":
		answer = choose(value, "RFC3720")
	case "InitiatorAlias":
	default:
		answer = notUnderstood
	}
	if err != nil {
		return "", fmt.Errorf("%s=%w", key, err)
	}
	return answer, nil
}

// session has the keys that mean nothing in a discovery session.
var session = map[string]bool{
	"MaxConnections": true, "InitialR2T": true, "ImmediateData": true, "MaxBurstLength": true, "FirstBurstLength": true,
	"MaxOutstandingR2T": true, "DataPDUInOrder": true, "DataSequenceInOrder": true, "TaskReporting": true,
}
