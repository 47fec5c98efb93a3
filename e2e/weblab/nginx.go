package weblab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// An Nginx is a running nginx. It serves the files in Dir/www.
type Nginx struct {
	Dir  string
	Addr string // host:port
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// StartNginx starts nginx in an empty folder. server is what its server block
// holds besides listen and root.
func StartNginx(dir, server string) (*Nginx, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	n := &Nginx{Dir: dir, Addr: addr}
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		return nil, err
	}
	if err := n.configure(server); err != nil {
		return nil, err
	}
	return n, n.Start()
}

// configure writes the configuration.
func (n *Nginx) configure(server string) error {
	return os.WriteFile(filepath.Join(n.Dir, "nginx.conf"), fmt.Appendf(nil, `
daemon off;
user root;
worker_processes 1;
error_log %[1]s/error.log;
pid %[1]s/nginx.pid;
events { worker_connections 512; }
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/tmp;
	proxy_temp_path %[1]s/tmp;
	fastcgi_temp_path %[1]s/tmp;
	uwsgi_temp_path %[1]s/tmp;
	scgi_temp_path %[1]s/tmp;
	keepalive_requests 100000;
	limit_req_zone $server_name zone=few:32k rate=10r/s;
	server {
		listen %[2]s;
		root %[1]s/www;
		%[3]s
	}
}
`, n.Dir, n.Addr, server), 0o644)
}

// Start starts nginx again, at the same address. It returns when nginx accepts
// connections.
func (n *Nginx) Start() error {
	n.cmd = exec.Command("nginx", "-p", n.Dir, "-c", filepath.Join(n.Dir, "nginx.conf"), "-e", filepath.Join(n.Dir, "error.log"))
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	return reachable(n.Addr, &n.log)
}

// Reload has nginx take another server block, and waits until it has.
func (n *Nginx) Reload(server string) error {
	if err := n.Stop(); err != nil {
		return err
	}
	if err := n.configure(server); err != nil {
		return err
	}
	return n.Start()
}

// Stop ends nginx. Its connections are cut.
func (n *Nginx) Stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	n.cmd.Wait()
	return nil
}

// Path returns the path of a file that nginx serves.
func (n *Nginx) Path(name string) string { return filepath.Join(n.Dir, "www", name) }

// URL returns the URL of a file.
func (n *Nginx) URL(name string) string { return "http://" + n.Addr + "/" + name }

// freeAddr returns an address on which nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// reachable waits until a server accepts connections.
func reachable(addr string, log *bytes.Buffer) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w\n%s", err, log)
		}
	}
}
