package iscsi_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"testing"

	"github.com/lunserve/lunserve/iscsi"
)

func TestParametersAreNegotiated(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	for _, tt := range []struct{ offer, answer string }{
		{"HeaderDigest=CRC32C,None", "CRC32C"},
		{"HeaderDigest=None,CRC32C", "None"},
		{"DataDigest=X-mine,CRC32C", "CRC32C"},
		{"DataDigest=X-mine", "Reject"},
		{"InitialR2T=Yes", "Yes"},
		{"InitialR2T=No", "No"},
		{"ImmediateData=No", "No"},
		{"MaxBurstLength=0x100000", "1048576"},
		{"MaxBurstLength=16776192", "1048576"},
		{"FirstBurstLength=262144", "131072"},
		{"MaxConnections=8", "1"},
		{"MaxOutstandingR2T=8", "1"},
		{"DefaultTime2Wait=2", "2"},
		{"DefaultTime2Retain=20", "0"},
		{"ErrorRecoveryLevel=2", "0"},
		{"DataPDUInOrder=No", "Yes"},
		{"DataSequenceInOrder=No", "Yes"},
		{"OFMarker=Yes", "No"},
		{"TaskReporting=FastAbort,RFC3720", "RFC3720"},
		{"iSCSIProtocolLevel=2", "1"},
		{"X-com.example.key=1", "NotUnderstood"},
		{"InitiatorAlias=me", ""},
	} {
		key := tt.offer[:len(tt.offer)-len(tt.offer[indexOf(tt.offer):])]
		i := dial(t, portal)
		a := i.loginRequest(1, 3, "InitiatorName="+initiatorName, "TargetName="+targetName, tt.offer)
		keys := a.keys()
		if a.loginStatus() != 0 || keys[key] != tt.answer {
			t.Errorf("%s: status %04x, answer %q, want %q", tt.offer, a.loginStatus(), keys[key], tt.answer)
		}
		if keys["MaxRecvDataSegmentLength"] != "262144" || keys["TargetPortalGroupTag"] != "1" {
			t.Errorf("%s: own keys %q", tt.offer, keys)
		}
		i.conn.Close()
	}
}

func indexOf(offer string) int {
	for i := range offer {
		if offer[i] == '=' {
			return i
		}
	}
	return len(offer)
}

func TestWrongLoginsAreRefused(t *testing.T) {
	_, portal := one(t, iscsi.Options{Allow: []string{initiatorName}})
	me, it := "InitiatorName="+initiatorName, "TargetName="+targetName
	for _, tt := range []struct {
		name   string
		change func(*pdu)
		keys   []string
		want   uint16
	}{
		{"no initiator", nil, []string{it}, 0x0207},
		{"no target", nil, []string{me}, 0x0207},
		{"another target", nil, []string{me, it + "x"}, 0x0203},
		{"an initiator that is not allowed", nil, []string{me + "x", it}, 0x0202},
		{"an unknown type of session", nil, []string{me, it, "SessionType=X"}, 0x0209},
		{"a key twice", nil, []string{me, it, "InitialR2T=Yes", "InitialR2T=No"}, 0x0200},
		{"no key", nil, []string{me, it, "hello"}, 0x0200},
		{"a number out of range", nil, []string{me, it, "MaxBurstLength=511"}, 0x0200},
		{"no number", nil, []string{me, it, "MaxBurstLength=many"}, 0x0200},
		{"no boolean", nil, []string{me, it, "InitialR2T=yes"}, 0x0200},
		{"a session that does not exist", func(p *pdu) { p.header[15] = 200 }, []string{me, it}, 0x020a},
		{"a future version", func(p *pdu) { p.header[3] = 1 }, []string{me, it}, 0x0205},
		{"stage 2", func(p *pdu) { p.header[1] = 0x80 | 2<<2 | 3 }, []string{me, it}, 0x0200},
		{"back to security", func(p *pdu) { p.header[1] = 0x80 | 1<<2 }, []string{me, it}, 0x0200},
	} {
		i := dial(t, portal)
		var p pdu
		p.header[0], p.header[1], p.header[13] = 0x43, 0x80|1<<2|3, 1
		p.data = text(tt.keys...)
		if tt.change != nil {
			tt.change(&p)
		}
		i.write(p)
		if a := i.read(0x23); a.loginStatus() != tt.want {
			t.Errorf("%s: status %04x, want %04x", tt.name, a.loginStatus(), tt.want)
		}
		i.isDisconnected()
	}
	i := dial(t, portal)
	i.command(complete, 0, make([]byte, 6), nil)
	i.isDisconnected()
}

// Keys may come in parts, and names in upper case.
func TestLoginMayTakeSeveralPDUs(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal)
	all := text("InitiatorName=IQN.2001-04.com.example:INITIATOR", "TargetName="+targetName, "AuthMethod=CHAP,None")
	for n, part := range [][]byte{all[:10], all[10:60], all[60:]} {
		var p pdu
		p.header[0], p.header[13] = 0x43, 1
		if n < 2 {
			p.header[1] = 0x40
		} else {
			p.header[1] = 0x81 // to the operational stage
		}
		p.set(24, i.cmdSN)
		p.data = part
		i.write(p)
		a := i.read(0x23)
		if a.loginStatus() != 0 || n == 2 && (a.header[1] != 0x81 || a.keys()["AuthMethod"] != "None") || n < 2 && len(a.data) > 0 {
			t.Fatalf("part %d: % x %q", n, a.header, a.data)
		}
	}
	if a := i.loginRequest(1, 1); a.loginStatus() != 0 || a.header[1] != 4 {
		t.Errorf("% x", a.header)
	}
	if a := i.loginRequest(1, 3); a.loginStatus() != 0 || a.header[1] != 0x87 || a.header[14]|a.header[15] == 0 {
		t.Errorf("% x", a.header)
	}
	i.command(complete, 0, make([]byte, 6), nil)
	i.good()
}

func TestCHAP(t *testing.T) {
	const secret, mutual = "the secret of it", "the other secret"
	_, portal := one(t, iscsi.Options{CHAP: &iscsi.CHAP{User: "me", Secret: secret, MutualUser: "it", MutualSecret: mutual}})
	_, oneWay := one(t, iscsi.Options{CHAP: &iscsi.CHAP{User: "me", Secret: secret}})
	sum := func(algorithm string, id byte, secret string, challenge []byte) string {
		text := append(append([]byte{id}, secret...), challenge...)
		if algorithm == "7" {
			s := sha256.Sum256(text)
			return "0x" + hex.EncodeToString(s[:])
		}
		s := md5.Sum(text)
		return "0x" + hex.EncodeToString(s[:])
	}
	for _, tt := range []struct {
		name, portal, algorithms, user, secret string
		mutual, reflect                        bool
		ok                                     bool
	}{
		{"right", portal, "5", "me", secret, false, false, true},
		{"SHA-256", portal, "7,5", "me", secret, false, false, true},
		{"mutual", portal, "5", "me", secret, true, false, true},
		{"mutual without a secret of the target", oneWay, "5", "me", secret, true, false, false},
		{"reflected challenge", portal, "5", "me", secret, true, true, false},
		{"wrong secret", portal, "5", "me", mutual, false, false, false},
		{"wrong user", portal, "5", "you", secret, false, false, false},
		{"no algorithm of ours", portal, "6", "me", secret, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := dial(t, tt.portal)
			i.loginRequest(0, 0, "InitiatorName="+initiatorName, "TargetName="+targetName, "AuthMethod=CHAP")
			a := i.loginRequest(0, 0, "CHAP_A="+tt.algorithms)
			if a.loginStatus() != 0 {
				if tt.ok {
					t.Errorf("status %04x", a.loginStatus())
				}
				return
			}
			offer := a.keys()
			id, _ := strconv.Atoi(offer["CHAP_I"])
			challenge, err := hex.DecodeString(offer["CHAP_C"][2:])
			if err != nil || len(challenge) < 16 {
				t.Fatalf("challenge %q", offer["CHAP_C"])
			}
			keys := []string{"CHAP_N=" + tt.user, "CHAP_R=" + sum(offer["CHAP_A"], byte(id), tt.secret, challenge)}
			ours := []byte("a challenge of the initiator")
			if tt.reflect {
				ours = challenge
			}
			if tt.mutual {
				keys = append(keys, "CHAP_I=9", fmt.Sprintf("CHAP_C=0x%x", ours))
			}
			a = i.loginRequest(0, 1, keys...)
			if ok := a.loginStatus() == 0; ok != tt.ok {
				t.Fatalf("status %04x", a.loginStatus())
			}
			if !tt.ok {
				i.isDisconnected()
				return
			}
			if want := sum(offer["CHAP_A"], 9, mutual, ours); tt.mutual && (a.keys()["CHAP_R"] != want || a.keys()["CHAP_N"] != "it") {
				t.Errorf("the target's response is %q", a.keys())
			}
			if a := i.loginRequest(1, 3); a.loginStatus() != 0 {
				t.Errorf("status %04x", a.loginStatus())
			}
			i.command(complete, 0, make([]byte, 6), nil)
			i.good()
		})
	}
}

// Without the right response there is no way past the security stage.
func TestCHAPCannotBeSkipped(t *testing.T) {
	_, portal := one(t, iscsi.Options{CHAP: &iscsi.CHAP{User: "me", Secret: "the secret of it"}})
	me, it := "InitiatorName="+initiatorName, "TargetName="+targetName
	for _, tt := range []struct {
		name  string
		steps [][]string // of the security stage; the last asks for the full feature phase
	}{
		{"nothing offered", [][]string{{me, it}}},
		{"None", [][]string{{me, it, "AuthMethod=None"}}},
		{"no response", [][]string{{me, it, "AuthMethod=CHAP"}, {"CHAP_A=5"}, {}}},
		{"response before the challenge", [][]string{{me, it, "AuthMethod=CHAP"}, {"CHAP_N=me", "CHAP_R=0x00"}}},
		{"method again", [][]string{{me, it, "AuthMethod=CHAP"}, {"AuthMethod=CHAP"}}},
		{"response without a method", [][]string{{me, it}, {"CHAP_N=me", "CHAP_R=0x00"}}},
	} {
		i := dial(t, portal)
		var a pdu
		for n, keys := range tt.steps {
			next := byte(0)
			if n == len(tt.steps)-1 {
				next = 3
			}
			a = i.loginRequest(0, next, keys...)
		}
		if a.loginStatus() == 0 && a.header[1]&0x80 != 0 {
			t.Errorf("%s: logged in", tt.name)
		}
		i.conn.Close()
	}
	i := dial(t, portal)
	if a := i.loginRequest(1, 3, me, it); a.loginStatus() != 0x0201 {
		t.Errorf("operational stage at once: status %04x", a.loginStatus())
	}
}
