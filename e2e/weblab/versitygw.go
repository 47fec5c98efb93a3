package weblab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A Gateway is a running versitygw, an S3 server. Its objects are files in
// Dir/bucket.
type Gateway struct {
	Dir, Addr   string
	Key, Secret string
	cmd         *exec.Cmd
	log         bytes.Buffer
}

// VersityGW returns the path of the program, where make puts it.
func VersityGW() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(dir, "lunserve-versitygw", "v1.8.0", "versitygw"))
}

// StartGateway starts versitygw in an empty folder.
func StartGateway(dir string) (*Gateway, error) {
	program, err := VersityGW()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: dir, Addr: addr, Key: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	if err := os.Mkdir(filepath.Join(dir, "bucket"), 0o755); err != nil {
		return nil, err
	}
	g.cmd = exec.Command(program, "--access", g.Key, "--secret", g.Secret, "--port", addr, "--quiet", "--keep-alive", "posix", dir)
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	return g, reachable(addr, &g.log)
}

// Stop ends the gateway.
func (g *Gateway) Stop() error {
	if err := g.cmd.Process.Kill(); err != nil {
		return err
	}
	g.cmd.Wait()
	return nil
}
