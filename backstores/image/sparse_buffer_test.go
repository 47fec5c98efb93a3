package image_test

import (
	"sync"
)

// A sparseBuffer can be written at any offset. The rest is zeros.
type sparseBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *sparseBuffer) WriteAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := int(off) + len(p); end > len(s.b) {
		s.b = append(s.b, make([]byte, end-len(s.b))...)
	}
	return copy(s.b[off:], p), nil
}

func (s *sparseBuffer) bytes(n int64) []byte {
	return append(s.b, make([]byte, n-int64(len(s.b)))...)
}
