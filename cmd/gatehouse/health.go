package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

type healthCommand struct {
	Live    bool          `help:"Ask only whether the server runs, and not for its database."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer (default ${default})." placeholder:"DURATION"`
}

// Help implements kong.HelpProvider.
func (healthCommand) Help() string {
	return `Asks the server that AUTH_SERVER_HOST and AUTH_SERVER_PORT tell of, and prints how it is. Made for a container's health check.

Examples:

    gatehouse health
    gatehouse health --live --timeout 1s` + exitCodes
}

// Run asks the server; any answer but 200 is a failure.
func (c healthCommand) Run(ctx context.Context, p *program) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	if s.ServerPort == 0 {
		return usagef("AUTH_SERVER_PORT: is 0, so nobody knows the server's port")
	}
	path := "/health"
	if c.Live {
		path = "/livez"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	status, err := probe(ctx, s.localURL(strconv.Itoa(s.ServerPort))+path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, status)
	return err
}

// probe returns the status that an answer of 200 tells of. No proxy is asked: the
// server is on this machine. Its certificate names it as others know it, and not by
// the address asked here; nothing is sent that is worth keeping from anybody.
func probe(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}).Do(request)
	if err != nil {
		return "", fmt.Errorf("asking the server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status string `json:"status"`
	}
	const maxAnswer = 64 << 10
	err = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer)
	if err == nil && answer.Status == "" {
		err = errors.New("no status in it")
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %d %s", address, response.StatusCode, answer.Status)
	}
	if err != nil {
		return "", fmt.Errorf("%s answers what no Gatehouse does: %w", address, err)
	}
	return printable(answer.Status), nil
}

// localURL is where the server is reached from this machine: every address includes
// the loopback one.
func (s settings) localURL(port string) string {
	scheme := "http"
	if s.servesTLS() {
		scheme = "https"
	}
	reached := string(s.ServerHost)
	if address, err := netip.ParseAddr(reached); err == nil && address.IsUnspecified() {
		reached = "::1"
		if address.Is4() {
			reached = "127.0.0.1"
		}
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(reached, port)}).String()
}
