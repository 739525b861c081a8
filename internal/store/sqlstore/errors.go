package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// The SQLSTATE codes that decide anything here; see PostgreSQL's appendix A.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03" // in the time that the transaction gives it
	uniqueViolation      = "23505"
	readOnlyTransaction  = "25006"
	idleInTransaction    = "25P03"
	queryCanceled        = "57014" // by a timeout of the server's

	classConnection   = "08"
	classResources    = "53" // no connection, memory or disk is left
	classConstraint   = "23"
	classIntervention = "57P" // the server is starting, stopping or has crashed
)

// classify gives a driver's error its meaning, and says what was being done:
//
//   - when ctx has ended it wraps ctx's error,
//   - store.ErrRetry where the same transaction may succeed (with fault.CodeUnavailable),
//   - fault.CodeUnavailable where the database does not answer,
//   - else an error without a code: a fault of ours.
func classify(ctx context.Context, err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w (%w)", doing, ctx.Err(), err)
	case isRetryable(err):
		return fault.Unavailable(fmt.Errorf("%s: %w: %w", doing, store.ErrRetry, err), "the database is busy")
	case isConnectionFailure(err):
		return fault.Unavailable(fmt.Errorf("%s: %w", doing, err), "the database does not answer")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// classifyCommit is classify for COMMIT, where an error may come after the effect.
// Only an error that proves the rollback keeps its meaning.
func classifyCommit(ctx context.Context, err error) error {
	const doing = "commit"
	switch {
	case err == nil:
		return nil
	case isRolledBack(err):
		return classify(ctx, err, doing)
	}
	return &fault.Error{
		Code: fault.CodeUnavailable, Unknown: true, Cause: fmt.Errorf("%s: %w", doing, err),
		Detail: "the database did not confirm the change: whether it was made is unknown",
	}
}

// isRolledBack reports whether an error of COMMIT proves that nothing was
// committed. A server that ends the session (57P01) proves nothing: it may do so
// between the commit and its answer. Nor does pgconn.ErrConnClosed, though pgx calls it
// safe to retry: it says the same of an answer that did not come.
func isRolledBack(err error) bool {
	unsent := pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	if unsent || isRetryable(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	if code := sqlState(err); code != "" {
		return strings.HasPrefix(code, classConstraint)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL:
		return true
	}
	// database/sql answers with these before it asks the driver to commit.
	return errors.Is(err, sql.ErrTxDone) || errors.Is(err, errRolledBack)
}

// errRolledBack marks that a transaction had ended before its COMMIT was tried.
var errRolledBack = errors.New("the transaction was rolled back before it was committed")

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

func isUniqueViolation(err error) bool {
	if sqlState(err) == uniqueViolation {
		return true
	}
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	return failure.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || failure.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

func isRetryable(err error) bool {
	switch sqlState(err) {
	case serializationFailure, deadlockDetected, lockNotAvailable:
		return true
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

func isConnectionFailure(err error) bool {
	if code := sqlState(err); code != "" {
		switch code {
		case readOnlyTransaction, idleInTransaction, queryCanceled:
			return true
		}
		return strings.HasPrefix(code, classConnection) || strings.HasPrefix(code, classIntervention) ||
			strings.HasPrefix(code, classResources)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL:
		return true
	}
	var (
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case errors.As(err, &connect), errors.As(err, &network), pgconn.SafeToRetry(err):
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return true
	case errors.Is(err, pgconn.ErrConnClosed), errors.Is(err, puddle.ErrClosedPool), errors.Is(err, sql.ErrConnDone):
		return true
	}
	// database/sql has no name for the error of a closed pool.
	return err != nil && strings.HasSuffix(err.Error(), "sql: database is closed")
}

// sqlState returns the SQLSTATE of an error that a PostgreSQL server sent, or "".
func sqlState(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

// sqliteCode returns the primary result code of SQLite's error, or SQLITE_OK.
func sqliteCode(err error) int {
	var failure *sqlite.Error
	if errors.As(err, &failure) {
		return failure.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}
