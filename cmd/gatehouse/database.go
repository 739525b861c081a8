package main

import (
	"errors"
	"path/filepath"
	"strings"
)

// database is where the tenants are.
type database struct {
	// url is as engine.Config.Database takes it. It may hold a password.
	url string
	// path is the file's of an SQLite database; empty for PostgreSQL.
	path string
	// variable names the setting that it comes from.
	variable string
}

// findDatabase says which database s asks for. Relative paths begin at dir, and
// those that begin with ~/ at home.
func findDatabase(s settings, home, dir string) (database, error) {
	inFile := func(path filePath, variable string) (database, error) {
		found, err := path.resolve(home, dir)
		if err != nil {
			return database{}, usagef("%s: %w", variable, err)
		}
		return database{url: "sqlite:" + found, path: found, variable: variable}, nil
	}
	if path, ok := s.DatabaseURL.sqlitePath(); ok {
		return inFile(path, "AUTH_DATABASE_URL")
	}
	switch {
	case s.DatabaseURL != "":
		return database{url: string(s.DatabaseURL), variable: "AUTH_DATABASE_URL"}, nil
	case s.DatabaseType == "sqlite":
		return inFile(s.SQLitePath, "AUTH_SQLITE_PATH")
	case s.PostgreSQLURL == "":
		return database{}, usagef("AUTH_POSTGRESQL_URL: must be set, for AUTH_DATABASE_TYPE is postgresql")
	default:
		return database{url: string(s.PostgreSQLURL), variable: "AUTH_POSTGRESQL_URL"}, nil
	}
}

// locate resolves the path of a variable, which may not be set.
func (p filePath) locate(variable, home, dir string) (filePath, error) {
	if p == "" {
		return "", nil
	}
	found, err := p.resolve(home, dir)
	if err != nil {
		return "", usagef("%s: %w", variable, err)
	}
	return filePath(found), nil
}

// resolve makes a path that stands by itself.
func (p filePath) resolve(home, dir string) (string, error) {
	path := string(p)
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home == "" {
			return "", errors.New("begins with ~/, and HOME is not set")
		}
		return filepath.Join(home, rest), nil
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	return filepath.Join(dir, path), nil
}
