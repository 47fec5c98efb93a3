package seekable

// A frame is an entry of an Index, which has none for empty frames. While an
// index is being built, start is the decoded size or, if that is unknown, minus
// the largest possible; [Index.settle] turns sizes into offsets.
type frame struct {
	off   int64  // in the file
	start int64  // in the decoded file
	csize uint32 // encoded size
	sum   uint32 // low half of the XXH64 of the decoded frame, if Index.Sums
}

// frames is a list of frames that grows by pages. A slice would be copied when it
// grows, and take twice its memory then.
type frames struct {
	pages []*[pageFrames]frame
	n     int
}

const pageFrames = 4096

func (l *frames) at(i int) *frame { return &l.pages[uint(i)/pageFrames][uint(i)%pageFrames] }

func (l *frames) append(f frame) {
	if l.n%pageFrames == 0 {
		l.pages = append(l.pages, new([pageFrames]frame))
	}
	l.n++
	*l.at(l.n - 1) = f
}

// cut drops all frames from n on.
func (l *frames) cut(n int) {
	l.pages, l.n = l.pages[:(n+pageFrames-1)/pageFrames], n
}
