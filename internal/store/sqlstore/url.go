package sqlstore

import (
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// The answers of Store.Dialect.
const (
	dialectSQLite     = "sqlite"
	dialectPostgreSQL = "postgresql"
)

// target is a parsed Config.URL: for SQLite the location is a path, for PostgreSQL
// it is the URL itself.
type target struct{ dialect, location string }

var schemePattern = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)

// parseURL tells the engines apart. Its errors never hold more of the URL than its
// scheme, for the rest may be a password.
func parseURL(raw string) (target, error) {
	if raw == "" {
		return target{}, fault.Invalid("database URL: must not be empty")
	}
	if rest, ok := strings.CutPrefix(raw, "sqlite:"); ok {
		if authority, ok := strings.CutPrefix(rest, "//"); ok {
			rest, ok = strings.CutPrefix(authority, "/")
			if !ok {
				return target{}, fault.Invalid("database URL: sqlite:// must be followed by a slash and a path")
			}
		}
		return sqliteTarget(rest)
	}
	scheme := schemePattern.FindStringSubmatch(raw)
	if scheme == nil {
		return sqliteTarget(raw)
	}
	switch scheme[1] {
	case "postgres", "postgresql":
		if _, err := postgresConfig(raw); err != nil {
			return target{}, err
		}
		return target{dialectPostgreSQL, raw}, nil
	}
	return target{}, fault.Invalid("database URL: unknown scheme %q; known are postgres, postgresql and sqlite", scheme[1])
}

func sqliteTarget(path string) (target, error) {
	switch {
	case path == "":
		return target{}, fault.Invalid("database URL: the path of the SQLite file is missing")
	case path == ":memory:":
		return target{}, fault.Invalid("database URL: a SQLite database in memory is not supported; name a file")
	case strings.ContainsRune(path, 0):
		return target{}, fault.Invalid("database URL: the path of the SQLite file holds a NUL character")
	}
	return target{dialectSQLite, path}, nil
}

// givenParameters tells which parameters a PostgreSQL URL sets. The driver reads it, for
// package url knows no list of hosts.
func givenParameters(raw string) (given func(name string) bool, err error) {
	config, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fault.Invalid("database URL: not a URL")
	}
	return func(name string) bool { _, ok := config.RuntimeParams[name]; return ok }, nil
}
