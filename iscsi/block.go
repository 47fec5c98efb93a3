package iscsi

import (
	"math/bits"
	"sync"
)

// A block is memory for data, to be used again: a power of two of bytes.
type block struct{ bytes []byte }

const (
	leastBlock = 12 // the logarithm of the least size
	mostBlock  = 32 // of the greatest
)

// blocks holds unused blocks by the logarithm of their size.
var blocks [mostBlock - leastBlock + 1]sync.Pool

// blockBytes is how many bytes a block for n bytes has.
func blockBytes(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << (blockClass(n) + leastBlock)
}

func blockClass(n int) int { return max(bits.Len(uint(n-1))-leastBlock, 0) }

// newBlock returns a block of at least n bytes, which hold old data.
func newBlock(n int) *block {
	class := blockClass(n)
	if b, ok := blocks[class].Get().(*block); ok {
		return b
	}
	return &block{make([]byte, blockBytes(n))}
}

// free gives the block back.
func (b *block) free() { blocks[blockClass(len(b.bytes))].Put(b) }
