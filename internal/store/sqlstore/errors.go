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
	tooManyConnections   = "53300"
	notSupported         = "0A000" // as writing is on a standby

	classConnection   = "08"
	classResources    = "53" // no connection, memory or disk is left
	classSystem       = "58" // a disk that fails, a file that is gone
	classConstraint   = "23"
	classIntervention = "57P" // the server is starting, stopping or has crashed
)

// classify gives a driver's error its meaning, and says what was being done:
//
//   - when ctx has ended it wraps ctx's error,
//   - store.ErrRetry where the same transaction may succeed (with fault.CodeUnavailable),
//   - fault.CodeUnavailable where the database does not answer, and errLost where another
//     connection may get an answer,
//   - the code that it has,
//   - else an error without a code: a fault of ours.
func classify(ctx context.Context, err error, doing string) error {
	var coded *fault.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w (%w)", doing, ctx.Err(), err)
	case errors.As(err, &coded):
		return fmt.Errorf("%s: %w", doing, err)
	case isRetryable(err):
		return fault.Unavailable(fmt.Errorf("%s: %w: %w", doing, store.ErrRetry, err), "the database is busy")
	case isConnectionFailure(err):
		return fault.Unavailable(fmt.Errorf("%s: %w", doing, markLost(err)), "the database does not answer")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// classifyAlone is classify for a statement that commits by itself: where its answer was
// lost, it is a COMMIT.
func classifyAlone(ctx context.Context, err error, doing string) error {
	var connect *pgconn.ConnectError
	// A connection that was closed after the statement was sent says that it is safe, too.
	unsent := errors.As(err, &connect) || pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	if unsent || !pgconn.Timeout(err) && !isOutage(err) {
		return classify(ctx, err, doing)
	}
	return unknown(err, doing)
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
	return unknown(err, doing)
}

func unknown(err error, doing string) error {
	return &fault.Error{
		Code: fault.CodeUnavailable, Unknown: true, Cause: fmt.Errorf("%s: %w", doing, err),
		Detail: "the database did not confirm the change: whether it was made is unknown",
	}
}

// isRolledBack reports whether an error of COMMIT proves that nothing was
// committed. A server that ends the session (57P01) proves nothing: it may do so
// between the commit and its answer. Nor does pgconn.SafeToRetry, which is true of a
// connection that was closed after COMMIT was sent.
func isRolledBack(err error) bool {
	if isRetryable(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
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
	var connect *pgconn.ConnectError
	switch code := sqlState(err); {
	case isReadOnly(err), isOutage(err), code == idleInTransaction, code == queryCanceled:
		return true
	case errors.As(err, &connect):
		// Be it that the server lets this process in no more: a password that was changed, or
		// a standby whose rules differ.
		return true
	case code != "":
		return strings.HasPrefix(code, classResources) || strings.HasPrefix(code, classSystem)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL:
		return true
	}
	var network net.Error
	switch {
	case errors.As(err, &network), isBroken(err), errors.Is(err, puddle.ErrClosedPool), errors.Is(err, sql.ErrConnDone):
		return true
	}
	// database/sql has no name for the error of a closed pool.
	return err != nil && strings.HasSuffix(err.Error(), "sql: database is closed")
}

// isOutage reports whether an error of a PostgreSQL connection says that the database is
// away: there is nobody to connect to, or the connection broke. An answer that did not
// come in time is none: see breaker.
func isOutage(err error) bool {
	if code := sqlState(err); code != "" {
		return strings.HasPrefix(code, classConnection) || strings.HasPrefix(code, classIntervention)
	}
	var (
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case errors.As(err, &connect):
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), pgconn.SafeToRetry(err):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return true
	}
	return errors.As(err, &network)
}

// isBroken reports whether a statement was not sent, for the connection had broken before.
func isBroken(err error) bool { return pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) }

// isLost reports whether an error proves that what was begun on a connection has no
// effect, and another connection may do better. It is not for COMMIT.
func isLost(err error) bool {
	return isReadOnly(err) || isOutage(err) || isBroken(err) || sqlState(err) == tooManyConnections
}

// isReadOnly reports whether the server is a standby, perhaps since now.
func isReadOnly(err error) bool { return sqlState(err) == readOnlyTransaction }

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
