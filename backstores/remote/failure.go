package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/lunserve/lunserve/hint"
)

// Text of package http may quote the URL or what the server wrote. So an error
// of it that is not known here is replaced by a sentence of ours.
var (
	errStalled = errors.New("less than 16 KiB in 30 seconds")
	errCut     = errors.New("the connection was cut")
	errNotHTTP = errors.New("the answer is not valid HTTP")
)

// A transportError is the failure of a request that may succeed when it is
// repeated.
type transportError struct{ error }

func (e transportError) Unwrap() error { return e.error }

// failure returns an error of a request or of reading its answer, as it may be
// printed.
func failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause == errStalled {
		return transportError{errStalled}
	} else if cause != nil {
		return cause
	}
	var (
		op       *net.OpError
		unknown  x509.UnknownAuthorityError
		verify   *tls.CertificateVerificationError
		notTLS   tls.RecordHeaderError
		alert    tls.AlertError
		timedOut net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return hint.With(unknown,
			hint.Command{Words: []string{"--ca-file", "FILE"}, Purpose: "to trust the authority whose certificate is in a file"})
	case errors.As(err, &verify):
		return verify
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &notTLS):
		return errors.New("the server does not use TLS")
	case errors.As(err, &alert):
		return transportError{alert}
	case errors.As(err, &op):
		return transportError{op}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return transportError{errCut}
	case errors.As(err, &timedOut) && timedOut.Timeout():
		return transportError{errStalled}
	}
	return transportError{errNotHTTP}
}

// repeat reports whether a request that failed may succeed later.
func repeat(err error) bool {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.temporary()
	}
	_, ok := errors.AsType[transportError](err)
	return ok
}
