package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

const notePermission = "note:read"

// middlewareCost compares requests in process, one after another: those of a bare
// handler, and of the same one behind a session and a permission. Beside them is what
// the engine takes of that. What a request costs is its p50.
func middlewareCost(ctx context.Context, o options, d *databases) error {
	title("Requests in process, on SQLite: a handler behind Gate.Sessions and Gate.Require, and what the engine takes of it")
	const bare = "bare handler"
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	contenders := []contender{{bare, "", alone(func() error {
		_, err := visit(ctx, handler, "")
		return err
	})}}
	for _, use := range []struct {
		name        string
		rotateAfter time.Duration
	}{
		{"a young token", time.Hour},
		{"a token that rotates", 0},
	} {
		tenant, token, err := d.signIn(ctx, use.name, use.rotateAfter)
		if err != nil {
			return err
		}
		gate, err := middleware.New(middleware.Config{Sessions: tenant, Checker: tenant})
		if err != nil {
			return err
		}
		guarded := gate.Sessions(gate.Require(notePermission, nil)(handler))
		contenders = append(contenders,
			contender{"engine, " + use.name, bare, alone(func() (err error) {
				token, err = rotateAndCheck(ctx, tenant, token)
				return err
			})},
			contender{"handler behind it, " + use.name, bare, alone(func() (err error) {
				token, err = visit(ctx, guarded, token)
				return err
			})},
		)
	}
	return compare(ctx, o, "", contenders)
}

// alone measures what one worker does.
func alone(work func() error) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		return hammer(ctx, duration, []func() error{work})
	}
}

// signIn opens a session for a user with the permission, on a database of its own.
func (d *databases) signIn(ctx context.Context, name string, rotateAfter time.Duration) (_ *engine.Tenant, token string, _ error) {
	database, err := d.newDatabase(ctx, "SQLite", name)
	if err != nil {
		return nil, "", err
	}
	e, err := engine.Open(ctx, engine.Config{
		Database: database, Logger: slog.New(slog.DiscardHandler), Sessions: engine.SessionConfig{RotateAfter: rotateAfter},
	})
	if err != nil {
		return nil, "", fmt.Errorf("open the engine: %w", err)
	}
	d.atEnd(func() { report(e.Close()) })
	const user = "user@example.com"
	tenant := e.Tenant("site")
	_, err = tenant.AddRole(ctx, "reader", authz.RoleOptions{})
	if err == nil {
		_, err = tenant.AddPermission(ctx, "reader", notePermission)
	}
	if err == nil {
		_, err = tenant.AddMembership(ctx, user, "reader", authz.Window{})
	}
	if err != nil {
		return nil, "", err
	}
	issued, err := tenant.CreateSession(ctx, authz.NewSession{User: user, IP: sessionIP, UserAgent: sessionAgent})
	return tenant, issued.Token, err
}

// rotateAndCheck is what the middleware asks the engine for a request.
func rotateAndCheck(ctx context.Context, tenant *engine.Tenant, token string) (next string, _ error) {
	rotated, err := tenant.RotateSession(ctx, authz.PresentedSession{Token: token, IP: sessionIP, UserAgent: sessionAgent})
	if err != nil {
		return "", err
	}
	decision, err := tenant.Check(ctx, authz.Request{User: rotated.Session.User, Permission: notePermission})
	if err == nil && !decision.Allowed {
		err = errors.New("the user may not")
	}
	return rotated.Token, err
}

// visit sends a request with a token to a handler, and returns the token for the next.
func visit(ctx context.Context, handler http.Handler, token string) (next string, _ error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.RemoteAddr = sessionIP + ":1234"
	r.Header.Set("User-Agent", sessionAgent)
	if token != "" {
		r.Header.Set("Cookie", middleware.CookieName+"="+token)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return "", fmt.Errorf("the answer is %d %s", w.Code, w.Body)
	}
	if line := w.Header().Get("Set-Cookie"); line != "" {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			return "", err
		}
		token = cookie.Value
	}
	return token, nil
}
