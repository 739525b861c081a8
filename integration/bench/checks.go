package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// The tenant that is asked: a small one, so that the server is measured and not the
// size of an index; the section load has the big one.
const (
	checkRoles       = 10
	checkPermissions = 10
	checkUsers       = 200
)

// checks compares GET /api/has_permission on both databases, with a client key and with
// an access token, with a bare handler.
func checks(ctx context.Context, o options, d *databases) error {
	title(fmt.Sprintf("GET /api/has_permission/{user}/{name} over loopback, %d connections", o.connections))
	const bare = "bare net/http handler"
	var contenders []contender
	for _, kind := range kinds {
		g, err := d.open(ctx, kind, "checks")
		if err != nil {
			return err
		}
		requests, err := fillForChecks(ctx, g)
		if err != nil {
			return err
		}
		if len(contenders) == 0 {
			address, err := d.serveBare(ctx, g.address, requests[0])
			if err != nil {
				return err
			}
			contenders = append(contenders, contender{bare, "", asking(address, o.connections, allowed, inTurn(requests))})
		}
		measure := asking(g.address, o.connections, allowed, inTurn(requests))
		if kind == "SQLite" && o.profile != "" {
			measure = profiled(o.profile, measure)
		}
		contenders = append(contenders, contender{"Gatehouse on " + kind, bare, measure})
		withToken, err := g.withToken(ctx, requests)
		if err != nil {
			return err
		}
		contenders = append(contenders, contender{
			"with an access token, on " + kind, bare, asking(g.address, o.connections, allowed, inTurn(withToken)),
		})
	}
	if err := compare(ctx, o, "", contenders); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := loggedChecks(ctx, o, d, kind); err != nil {
			return err
		}
	}
	return nil
}

// loggedChecks compares the same with and without a decision log. All that is asked is
// allowed, so that a log of denials is there and takes nothing.
func loggedChecks(ctx context.Context, o options, d *databases, kind string) error {
	title(fmt.Sprintf("The same on %s, by AUTH_AUDIT_DECISIONS", kind))
	var contenders []contender
	var all *gatehouse
	for _, which := range []string{engine.DecisionsOff, engine.DecisionsDenied, engine.DecisionsAll} {
		g, err := d.open(ctx, kind, "decisions-"+which, func(c *engine.Config) { c.AuditDecisions = which })
		if err != nil {
			return err
		}
		requests, err := fillForChecks(ctx, g)
		if err != nil {
			return err
		}
		measure := asking(g.address, o.connections, allowed, inTurn(requests))
		c := contender{name: which, base: engine.DecisionsOff, measure: func(ctx context.Context, duration time.Duration) (sample, error) {
			s, err := measure(ctx, duration)
			// What waits is written now, and not while another is measured.
			for g.engine.Stats().DecisionsBuffered > 0 && err == nil {
				time.Sleep(time.Millisecond)
			}
			return s, err
		}}
		if which == engine.DecisionsOff {
			c.base = ""
		}
		contenders, all = append(contenders, c), g
	}
	if err := compare(ctx, o, "", contenders); err != nil {
		return err
	}
	s := all.engine.Stats()
	fmt.Printf("\nall: %d decisions logged, %d dropped for want of room, %d that could not be written\n",
		s.DecisionsLogged, s.DecisionsOverflowed, s.DecisionsUnwritten)
	return nil
}

// fillForChecks makes a policy and returns requests that it answers with true.
func fillForChecks(ctx context.Context, g *gatehouse) ([][]byte, error) {
	key, tenant, err := g.tenant(ctx)
	if err != nil {
		return nil, err
	}
	for r := range checkRoles {
		role := fmt.Sprint("role-", r)
		if _, err := tenant.AddRole(ctx, role, authz.RoleOptions{}); err != nil {
			return nil, err
		}
		for p := range checkPermissions {
			if _, err := tenant.AddPermission(ctx, role, fmt.Sprint("permission-", r, "-", p)); err != nil {
				return nil, err
			}
		}
	}
	var requests [][]byte
	for u := range checkUsers {
		user, role := fmt.Sprintf("user-%d@example.com", u), u%checkRoles
		if _, err := tenant.AddMembership(ctx, user, fmt.Sprint("role-", role), authz.Window{}); err != nil {
			return nil, err
		}
		path := fmt.Sprintf("/api/has_permission/%s/permission-%d-%d", user, role, u%checkPermissions)
		requests = append(requests, newRequest(http.MethodGet, path, key))
	}
	return requests, nil
}

// withToken makes the same requests with an access token for the key that they have.
func (g *gatehouse) withToken(ctx context.Context, requests [][]byte) ([][]byte, error) {
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(requests[0])))
	if err != nil {
		return nil, err
	}
	key := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
	caller, err := g.engine.Authenticate(ctx, key, engine.Actor{})
	if err != nil {
		return nil, err
	}
	tokens, err := caller.IssueTokens(ctx, authz.TokenRequest{Abilities: []string{string(engine.AbilityCheck)}})
	if err != nil {
		return nil, err
	}
	with := make([][]byte, len(requests))
	for i, request := range requests {
		with[i] = bytes.Replace(request, []byte(key), []byte(tokens.AccessToken), 1)
	}
	return with, nil
}

// serveBare serves what a server at an address answers to a request: the same
// headers, the same bytes, and nothing else.
func (d *databases) serveBare(ctx context.Context, address string, request []byte) (string, error) {
	header, body, err := answerOf(ctx, address, request)
	if err != nil {
		return "", err
	}
	// net/http makes these anew.
	header.Del("Date")
	header.Del("Content-Length")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range header {
			h[name] = values
		}
		_, _ = w.Write(body)
	})}
	go func() {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			report(err)
		}
	}()
	d.atEnd(func() { report(s.Close()) })
	return listener.Addr().String(), nil
}

func answerOf(ctx context.Context, address string, request []byte) (http.Header, []byte, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	answer, err := c.exchange(request)
	if err != nil {
		return nil, nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(response.Body)
	return response.Header, body, err
}

var allowed = []byte(`"has_permission":true`)

// inTurn gives out requests again and again.
func inTurn(requests [][]byte) func() []byte {
	var n atomic.Int64
	return func() []byte { return requests[n.Add(1)%int64(len(requests))] }
}

// asking measures the requests that next gives out, to whoever asks for one. Each
// answer must hold yes.
func asking(address string, connections int, yes []byte, next func() []byte) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		workers := make([]func() error, connections)
		for w := range workers {
			c, err := dial(ctx, address)
			if err != nil {
				return sample{}, err
			}
			defer c.close()
			workers[w] = func() error {
				answer, err := c.exchange(next())
				if err == nil && !bytes.Contains(answer, yes) {
					err = fmt.Errorf("the answer is not yes: %.500q", answer)
				}
				return err
			}
		}
		return hammer(ctx, duration, workers)
	}
}

// profiled leaves the CPU profile of the last measurement in a file.
func profiled(file string, measure func(context.Context, time.Duration) (sample, error)) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (_ sample, err error) {
		out, err := os.Create(file)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		if err := pprof.StartCPUProfile(out); err != nil {
			return sample{}, err
		}
		defer pprof.StopCPUProfile()
		return measure(ctx, duration)
	}
}
