package tcmu

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A Meter is a histogram of the latency of commands. Its zero value is empty. It
// is safe for concurrent use, and takes no lock.
type Meter struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Latencies is the state of a Meter at some time, or the difference of two.
type Latencies struct {
	Count uint64        // number of commands
	Sum   time.Duration // of their latencies
	// The first buckets are one unit wide; from then on there are sixteen for
	// each power of two.
	counts [buckets]uint64
}

const (
	unit = 64 * time.Nanosecond // sixteen of them are about a microsecond

	// The last bucket ends at 2^40 ns, which is 18 minutes. It also counts
	// whatever took longer.
	buckets = 31 * 16
)

// bucket returns the index of the bucket that counts a latency.
func bucket(took time.Duration) int {
	units := uint64(max(took, 0) / unit)
	shift := max(bits.Len64(units)-5, 0)
	return min(shift*16+int(units>>shift), buckets-1)
}

// middle returns the middle of a bucket. Latencies of a microsecond and more
// differ from the middle of their bucket by at most 1/31.
func middle(bucket int) time.Duration {
	shift := max(bucket/16-1, 0)
	return time.Duration(bucket-shift*16)*(unit<<shift) + (unit<<shift)/2
}

// Add counts a command that took this long.
func (m *Meter) Add(took time.Duration) {
	m.counts[bucket(took)].Add(1)
	m.sum.Add(int64(took))
}

// Read returns the current state. A concurrent Add may be part of some of its
// numbers and not of others.
func (m *Meter) Read() (l Latencies) {
	for i := range m.counts {
		l.counts[i] = m.counts[i].Load()
		l.Count += l.counts[i]
	}
	l.Sum = time.Duration(m.sum.Load())
	return l
}

// Since returns the latencies counted after earlier, a state of the same Meter.
func (l Latencies) Since(earlier Latencies) Latencies {
	l.Count -= earlier.Count
	l.Sum -= earlier.Sum
	for i, n := range earlier.counts {
		l.counts[i] -= n
	}
	return l
}

// Plus returns the sum of two Meters.
func (l Latencies) Plus(m Latencies) Latencies {
	l.Count += m.Count
	l.Sum += m.Sum
	for i, n := range m.counts {
		l.counts[i] += n
	}
	return l
}

// Percentile returns the latency that p percent of the commands did not exceed,
// accurate to 4 % from a microsecond up, or 0 if there were no commands.
func (l Latencies) Percentile(p float64) time.Duration {
	rank := uint64(math.Ceil(min(max(p/100, 0), 1) * float64(l.Count)))
	for i, n := range l.counts {
		if n > 0 && n >= rank {
			return middle(i)
		}
		rank -= n
	}
	return 0
}

// Powers returns how many commands took less than 1.024 µs, then less than twice that,
// and so on, each without those before.
func (l Latencies) Powers() (counts []uint64) {
	for i := 0; i < buckets; i += 16 {
		n := uint64(0)
		for _, c := range l.counts[i : i+16] {
			n += c
		}
		counts = append(counts, n)
	}
	return counts
}

// FirstPower is the limit of the first of [Latencies.Powers].
const FirstPower = 16 * unit
