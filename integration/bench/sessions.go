package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// manySessions is how many sessions there are, and how many rows the driver updates.
// They take turns, so that none rotates more often than a busy browser's does.
const manySessions = 4000

const (
	sessionIP    = "192.0.2.1"
	sessionAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// sessions compares rotations and verifications of session tokens with single rows
// that the database's driver updates, each in a statement of its own; and, on SQLite,
// requests behind the middleware with those of a bare handler.
func sessions(ctx context.Context, o options, d *databases) error {
	for _, kind := range kinds {
		title(fmt.Sprintf("Session tokens on %s: %d sessions in turn", kind, manySessions))
		g, err := d.open(ctx, kind, "sessions")
		if err != nil {
			return err
		}
		key, tenant, err := g.tenant(ctx)
		if err != nil {
			return err
		}
		tokens, err := openSessions(ctx, tenant)
		if err != nil {
			return err
		}
		update, err := d.updater(ctx, kind)
		if err != nil {
			return err
		}
		r := &rotating{address: g.address, key: key, tenant: tenant, tokens: tokens, update: update}
		if err := compare(ctx, o, "", r.contenders()); err != nil {
			return err
		}
	}
	return middlewareCost(ctx, o, d)
}

// openSessions returns the first tokens of new sessions, each of a user of its own.
func openSessions(ctx context.Context, tenant *engine.Tenant) ([]string, error) {
	tokens := make([]string, manySessions)
	return tokens, inParallel(manySessions, func(n int) error {
		issued, err := tenant.CreateSession(ctx, authz.NewSession{
			User: fmt.Sprintf("user-%d@example.com", n), IP: sessionIP, UserAgent: sessionAgent,
		})
		tokens[n] = issued.Token
		return err
	})
}

// rotating is what the contenders on one database share.
type rotating struct {
	address, key string
	tenant       *engine.Tenant
	// tokens are the current ones. Of the callers at work each has sessions of its own.
	tokens []string
	update func(ctx context.Context, row int) error
}

func (r *rotating) contenders() []contender {
	var all []contender
	for _, callers := range []int{1, manyWriters} {
		name := func(what string) string { return fmt.Sprintf("%s, callers: %d", what, callers) }
		base := name("driver updates a row")
		all = append(all,
			contender{base, "", r.inTurn(callers, r.update)},
			contender{name("engine rotates"), base, r.inTurn(callers, r.rotate)},
			contender{name("engine verifies"), base, r.inTurn(callers, r.verify)},
			contender{name("HTTP rotates"), base, r.overHTTP(callers, r.rotateOver)},
			contender{name("HTTP verifies"), base, r.overHTTP(callers, r.verifyOver)},
		)
	}
	return all
}

// inTurn measures what is done to each session in turn, by callers at once.
func (r *rotating) inTurn(callers int, do func(ctx context.Context, session int) error) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		workers := make([]func() error, callers)
		for n := range workers {
			session := n
			workers[n] = func() error {
				err := do(ctx, session)
				if session += callers; session >= manySessions {
					session = n
				}
				return err
			}
		}
		return hammer(ctx, duration, workers)
	}
}

// overHTTP is inTurn with a connection for each caller.
func (r *rotating) overHTTP(callers int, do func(c *caller, session int) error) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		connections := make([]*caller, callers)
		for n := range connections {
			c, err := dial(ctx, r.address)
			if err != nil {
				return sample{}, err
			}
			defer c.close()
			connections[n] = c
		}
		return r.inTurn(callers, func(_ context.Context, session int) error {
			return do(connections[session%callers], session)
		})(ctx, duration)
	}
}

func (r *rotating) shown(session int) authz.PresentedSession {
	return authz.PresentedSession{Token: r.tokens[session], IP: sessionIP, UserAgent: sessionAgent}
}

func (r *rotating) rotate(ctx context.Context, session int) error {
	rotated, err := r.tenant.RotateSession(ctx, r.shown(session))
	if err == nil && rotated.Outcome != authz.SessionRotated {
		err = fmt.Errorf("the token is %s", rotated.Outcome)
	}
	if err != nil {
		return err
	}
	r.tokens[session] = rotated.Token
	return nil
}

func (r *rotating) verify(ctx context.Context, session int) error {
	status, err := r.tenant.VerifySession(ctx, r.shown(session))
	if err == nil && !status.Active {
		err = errors.New("the token is not active")
	}
	return err
}

var (
	wasRotated = []byte(`"outcome":"rotated"`)
	isActive   = []byte(`"active":true`)
	tokenBegin = []byte(`"token":"`)
)

func (r *rotating) rotateOver(c *caller, session int) error {
	answer, err := r.present(c, "/api/sessions/rotate", session, wasRotated)
	if err != nil {
		return err
	}
	_, rest, found := bytes.Cut(answer, tokenBegin)
	token, _, ends := bytes.Cut(rest, []byte{'"'})
	if !found || !ends {
		return fmt.Errorf("the answer has no token: %.500q", answer)
	}
	r.tokens[session] = string(token)
	return nil
}

func (r *rotating) verifyOver(c *caller, session int) error {
	_, err := r.present(c, "/api/sessions/verify", session, isActive)
	return err
}

// present sends a session's token. The answer must hold yes.
func (r *rotating) present(c *caller, path string, session int, yes []byte) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"token": r.tokens[session], "ip": sessionIP, "user_agent": sessionAgent})
	if err != nil {
		return nil, err
	}
	answer, err := c.exchange(newPost(path, r.key, string(body)))
	if err == nil && !bytes.Contains(answer, yes) {
		err = fmt.Errorf("the answer is not %s: %.500q", yes, answer)
	}
	return answer, err
}

// Statements of both dialects, but for the placeholder that ends the last one. A row
// is about as long as a session's.
const (
	createRows = "CREATE TABLE bench (tenant text NOT NULL, id bigint NOT NULL, generation bigint NOT NULL, rest text NOT NULL, PRIMARY KEY (tenant, id))"
	fillRows   = `INSERT INTO bench WITH RECURSIVE ids (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < %d - 1)
		SELECT 'tenant', id, 1, '%s' FROM ids`
	updateRow = "UPDATE bench SET generation = generation + 1 WHERE tenant = 'tenant' AND id = "
)

// rowLength is the length of rest, in bytes.
const rowLength = 300

// updater returns what updates one of manySessions rows in a statement of its own,
// through the driver that Gatehouse uses and with the settings that it uses.
func (d *databases) updater(ctx context.Context, kind string) (func(ctx context.Context, row int) error, error) {
	database, err := d.newDatabase(ctx, kind, "updates")
	if err != nil {
		return nil, err
	}
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		return d.sqliteUpdater(ctx, path)
	}
	return d.postgresUpdater(ctx, database)
}

func (d *databases) sqliteUpdater(ctx context.Context, path string) (func(context.Context, int) error, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	d.atEnd(func() { report(db.Close()) })
	for _, statement := range []string{createRows, fmt.Sprintf(fillRows, manySessions, strings.Repeat("x", rowLength))} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("fill the driver's table: %w", err)
		}
	}
	update, err := db.PrepareContext(ctx, updateRow+"?")
	if err != nil {
		return nil, fmt.Errorf("prepare the driver's update: %w", err)
	}
	return func(ctx context.Context, row int) error {
		result, err := update.ExecContext(ctx, row)
		if err != nil {
			return err
		}
		return oneRow(result.RowsAffected())
	}, nil
}

func (d *databases) postgresUpdater(ctx context.Context, database string) (func(context.Context, int) error, error) {
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	config.MaxConns = max(config.MaxConns, 2*manyWriters)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	d.atEnd(pool.Close)
	for _, statement := range []string{createRows, fmt.Sprintf(fillRows, manySessions, strings.Repeat("x", rowLength))} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("fill the driver's table: %w", err)
		}
	}
	return func(ctx context.Context, row int) error {
		result, err := pool.Exec(ctx, updateRow+"$1", row)
		if err != nil {
			return err
		}
		return oneRow(result.RowsAffected(), nil)
	}, nil
}

// oneRow checks how many rows a statement has changed.
func oneRow(rows int64, err error) error {
	if err == nil && rows != 1 {
		err = fmt.Errorf("%d rows were updated, not one", rows)
	}
	return err
}
