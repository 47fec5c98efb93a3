package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// A Host is the serving process, as a [Server] sees it. Its methods are safe
// for concurrent use.
type Host interface {
	// Disks returns the disks in the order of their LUNs.
	Disks() []Disk

	// Measure starts to measure. read returns the disks with their Rates since
	// the last read; stop ends the measurement.
	Measure() (read func() []Disk, stop func())

	// Resize sets the length of the image of a disk or, if bytes is 0, gives
	// the disk the present size of its image.
	Resize(name string, bytes int64) error

	// Fault makes a disk misbehave by more rules or, if clear is set, by these
	// alone.
	Fault(name string, clear bool, rules []string) error

	// Power cuts the power of a disk, or restores it if on is set. What was not
	// flushed is lost or, with random, any part of it.
	Power(name string, on, random bool) error

	// Detach ends the service, or returns an error that names the users of its
	// disks unless force is set. waitsFor is the command that has to end first.
	// Detach returns before the service has ended, and with the cause when ctx is
	// done.
	Detach(ctx context.Context, force bool) (waitsFor string, err error)
}

// A Server listens at the socket of this process and answers for its [Host].
type Server struct {
	host     Host
	listener net.Listener
	cancel   context.CancelCauseFunc
	conns    sync.WaitGroup
	failed   func(error)
	before   *Server // that resumed as this one, or nil
}

// Listen makes the socket of this process, whose id is pid. It calls failed if
// the server cannot continue. Close the server.
func Listen(pid int, host Host, failed func(error)) (*Server, error) {
	if err := MakeDir(); err != nil {
		return nil, err
	}
	path := socket(pid)
	_ = os.Remove(path) // left by a killed process that had this id
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return newServer(host, listener, failed), nil
}

// Inherit is Listen for the socket from [Server.HandOver].
func Inherit(socket *os.File, host Host, failed func(error)) (*Server, error) {
	defer socket.Close()
	listener, err := net.FileListener(socket)
	if err != nil {
		return nil, err
	}
	if l, ok := listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(true)
	}
	return newServer(host, listener, failed), nil
}

// ErrHandOver is the cause of the end of requests during [Server.HandOver].
var ErrHandOver = errors.New("lunserve is being upgraded; try again")

// HandOver ends the server and returns its socket, at which clients wait for the
// next server. They do not notice, unless they are being answered: answered is
// closed when none is any more.
func (s *Server) HandOver() (socket *os.File, answered <-chan struct{}, err error) {
	l, ok := s.listener.(*net.UnixListener)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	if socket, err = l.File(); err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	s.cancel(ErrHandOver)
	ended := make(chan struct{})
	err = l.Close()
	go func() {
		defer close(ended)
		s.wait()
	}()
	return socket, ended, err
}

// Resume is Inherit for the server that has handed over its socket. Close waits for
// what that still answers, too.
func (s *Server) Resume(socket *os.File, host Host, failed func(error)) (*Server, error) {
	next, err := Inherit(socket, host, failed)
	if err == nil {
		next.before = s
	}
	return next, err
}

func newServer(host Host, listener net.Listener, failed func(error)) *Server {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Server{host: host, listener: listener, cancel: cancel, failed: failed}
	s.conns.Go(func() { s.accept(ctx) })
	return s
}

// Close removes the socket and returns when all connections have ended. A reply
// in progress is still sent, unless its client does not read it.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.cancel(nil)
	s.wait()
	return err
}

func (s *Server) wait() {
	s.conns.Wait()
	if s.before != nil {
		s.before.wait()
	}
}

func (s *Server) accept(ctx context.Context) {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.failed(err)
			return
		}
		s.conns.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() {
				conn.SetReadDeadline(time.Now())
				conn.SetWriteDeadline(time.Now().Add(answerTime)) // for a client that does not read
			})()
			s.talk(ctx, newCodec(conn, maxRequest))
		})
	}
}

// talk answers one client until it hangs up.
func (s *Server) talk(ctx context.Context, c *codec) {
	var read func() []Disk // of a measurement, once one is asked for
	for {
		var r request
		if c.read(&r) != nil {
			return
		}
		var answer reply
		switch {
		case r.Version != version:
			answer = answer.failure(fmt.Errorf("control protocol version %d is not supported, only %d; use the lunserve that serves the disk", r.Version, version))
		case r.Do == show:
			answer.Disks = s.host.Disks()
		case r.Do == measure:
			if read == nil {
				var stop func()
				read, stop = s.host.Measure()
				defer stop()
			}
			answer.Disks = read()
		case r.Do == resize:
			err := s.host.Resize(r.Disk, r.Size)
			answer.Disks = s.host.Disks()
			answer = answer.failure(err)
		case r.Do == fault:
			err := s.host.Fault(r.Disk, r.Clear, r.Rules)
			answer.Disks = s.host.Disks()
			answer = answer.failure(err)
		case r.Do == power:
			err := s.host.Power(r.Disk, r.On, r.Random)
			answer.Disks = s.host.Disks()
			answer = answer.failure(err)
		case r.Do == detach:
			waits, err := s.host.Detach(ctx, r.Force)
			answer.Waits = waits
			answer = answer.failure(err)
		default:
			answer = answer.failure(hint.Try(fmt.Errorf("%q: unknown request", r.Do), "lunserve", "--version"))
		}
		if c.write(answer) != nil {
			return
		}
	}
}
