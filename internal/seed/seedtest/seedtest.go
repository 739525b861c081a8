// Package seedtest makes databases of auth for tests, and answers what auth would. It
// shares nothing with package seed: what it encrypts, it encrypts by itself.
package seedtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	// The drivers' names are "pgx" and "sqlite".
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// Database is a database of auth that a test fills.
type Database struct {
	t  testing.TB
	db *sql.DB
	// URL is as gatehouse import auth takes it, Path the file's of a SQLite database.
	URL, Path string
}

// SQLite makes a file in the schema of the latest release.
func SQLite(t testing.TB) *Database {
	path := filepath.Join(t.TempDir(), "auth.sqlite3")
	d := open(t, "sqlite", path)
	d.URL, d.Path = "sqlite:"+path, path
	d.Exec(strings.ReplaceAll(latest, "SERIAL PRIMARY KEY", "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"))
	return d
}

// FirstSQLite makes a file in the schema of the first release on SQLite.
func FirstSQLite(t testing.TB) *Database {
	path := filepath.Join(t.TempDir(), "auth.sqlite3")
	d := open(t, "sqlite", path)
	d.URL, d.Path = "sqlite:"+path, path
	d.Exec(first)
	return d
}

// Postgres fills an empty PostgreSQL database in the schema of the latest release.
func Postgres(t testing.TB, url string) *Database {
	d := open(t, "pgx", url)
	d.URL = url
	d.Exec(latest)
	return d
}

func open(t testing.TB, driver, location string) *Database {
	t.Helper()
	db, err := sql.Open(driver, location)
	if err != nil {
		t.Fatal(err)
	}
	// One connection, so that a SQLite file is whole for whoever opens it next.
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return &Database{t: t, db: db}
}

// Exec runs statements without arguments, or one with them.
func (d *Database) Exec(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.db.Exec(statement, args...); err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
}

// The placeholders of the statements below are both engines'.

// Role adds a row to auth_group.
func (d *Database) Role(id int, creator, role, description string, active bool) {
	d.t.Helper()
	d.Exec(`INSERT INTO auth_group (id, creator, role, description, is_active) VALUES ($1, $2, $3, $4, $5)`, id, creator, role, description, active)
}

// Permission adds a row to auth_permission and links it to roles.
func (d *Database) Permission(id int, creator, name string, active bool, roles ...int) {
	d.t.Helper()
	d.Exec(`INSERT INTO auth_permission (id, creator, name, is_active) VALUES ($1, $2, $3, $4)`, id, creator, name, active)
	for _, role := range roles {
		d.Exec(`INSERT INTO permission_groups (permission_id, group_id) VALUES ($1, $2)`, id, role)
	}
}

// User adds a row to auth_membership and links it to roles.
func (d *Database) User(id int, creator, name string, active bool, roles ...int) {
	d.t.Helper()
	d.Exec(`INSERT INTO auth_membership (id, creator, "user", is_active) VALUES ($1, $2, $3, $4)`, id, creator, name, active)
	for _, role := range roles {
		d.Exec(`INSERT INTO membership_groups (membership_id, group_id) VALUES ($1, $2)`, id, role)
	}
}

// Sealer encrypts a value of a creator's.
type Sealer func(creator, value string) string

// Plain does not.
func Plain(_, value string) string { return value }

// Sealed is auth's first scheme: one key for all creators.
func Sealed(password string) Sealer {
	keys := derive(password)
	return func(_, value string) string { return seal(keys, value) }
}

// SealedPerTenant is auth's second scheme.
func SealedPerTenant(password string) Sealer {
	master := derive(password)
	return func(creator, value string) string {
		keys, err := hkdf.Expand(sha256.New, master, "auth-fieldkey-v2|"+creator, 64)
		if err != nil {
			panic(err)
		}
		return "v2:" + seal(keys, value)
	}
}

func derive(password string) []byte {
	keys, err := pbkdf2.Key(sha256.New, password, []byte("auth_deterministic_encryption_salt_v1"), 100_000, 64)
	if err != nil {
		panic(err)
	}
	return keys
}

func seal(keys []byte, value string) string {
	mac := hmac.New(sha256.New, keys[32:])
	mac.Write([]byte(value))
	iv := mac.Sum(nil)[:16]
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		panic(err)
	}
	text := make([]byte, len(value))
	cipher.NewCTR(block, iv).XORKeyStream(text, []byte(value))
	return base64.StdEncoding.EncodeToString(append(iv, text...))
}

// latest is what SQLAlchemy's create_all makes, and the migrations of the service.
const latest = `
CREATE TABLE auth_group (
	id SERIAL PRIMARY KEY, creator VARCHAR(64) NOT NULL, role TEXT NOT NULL, description TEXT, is_active BOOLEAN,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
	CONSTRAINT uq_auth_group_creator_role UNIQUE (creator, role)
);
CREATE TABLE auth_membership (
	id SERIAL PRIMARY KEY, "user" TEXT NOT NULL, creator VARCHAR(64) NOT NULL, is_active BOOLEAN,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
	CONSTRAINT uq_auth_membership_creator_user UNIQUE (creator, "user")
);
CREATE TABLE auth_permission (
	id SERIAL PRIMARY KEY, name TEXT NOT NULL, creator VARCHAR(64) NOT NULL, is_active BOOLEAN,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
	CONSTRAINT uq_auth_permission_creator_name UNIQUE (creator, name)
);
CREATE TABLE membership_groups (
	membership_id INTEGER NOT NULL REFERENCES auth_membership (id), group_id INTEGER NOT NULL REFERENCES auth_group (id),
	PRIMARY KEY (membership_id, group_id)
);
CREATE TABLE permission_groups (
	permission_id INTEGER NOT NULL REFERENCES auth_permission (id), group_id INTEGER NOT NULL REFERENCES auth_group (id),
	PRIMARY KEY (permission_id, group_id)
);
CREATE TABLE auth_api_key (
	id SERIAL PRIMARY KEY, key_id VARCHAR(36) NOT NULL, creator VARCHAR(64) NOT NULL, "user" TEXT NOT NULL,
	key_hash VARCHAR(64) NOT NULL, key_prefix VARCHAR(16) NOT NULL, label TEXT, is_active BOOLEAN,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
	revoked_at TIMESTAMP, expires_at TIMESTAMP, last_used_at TIMESTAMP
);
CREATE TABLE auth_tenant_settings (
	id SERIAL PRIMARY KEY, creator VARCHAR(64) NOT NULL UNIQUE, strict_users BOOLEAN NOT NULL,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)`

// first is what the sqlite3 module of the first releases makes, but for the
// constraints, which those in between did without.
const first = `
CREATE TABLE auth_group (
	id INTEGER PRIMARY KEY AUTOINCREMENT, creator TEXT NOT NULL, role TEXT NOT NULL, description TEXT, is_active BOOLEAN DEFAULT 1,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE auth_membership (
	id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, creator TEXT NOT NULL, is_active BOOLEAN DEFAULT 1,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE auth_permission (
	id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, creator TEXT NOT NULL, is_active BOOLEAN DEFAULT 1,
	date_created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, modified TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE membership_groups (membership_id INTEGER, group_id INTEGER, UNIQUE (membership_id, group_id));
CREATE TABLE permission_groups (permission_id INTEGER, group_id INTEGER, UNIQUE (permission_id, group_id))`
