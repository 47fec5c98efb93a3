package iscsi

// window is how many commands an initiator may have sent that are not completed.
const window = 128

// A commandWindow numbers the commands of a session (RFC 7143, 4.2.2.1). Each command
// that completes lets another one in.
type commandWindow struct {
	expected, most uint32 // ExpCmdSN and MaxCmdSN
}

func newWindow(first uint32) commandWindow {
	return commandWindow{expected: first, most: first + window - 1}
}

// A verdict is what becomes of a command.
type verdict int

const (
	accepted verdict = iota
	ignored          // outside of the window: it is to be dropped without an answer
	missing          // one before it is missing, which only another connection could bring
)

// admit takes the number of a command. Immediate ones are not counted.
func (w *commandWindow) admit(h *header) verdict {
	sn := h.cmdSN()
	switch {
	case h.immediate():
		return accepted
	case int32(sn-w.expected) < 0 || int32(sn-w.most) > 0: // serial number arithmetic
		return ignored
	case sn != w.expected:
		return missing
	}
	w.expected++
	return accepted
}

// completed lets another command in.
func (w *commandWindow) completed(h *header) {
	if !h.immediate() {
		w.most++
	}
}
