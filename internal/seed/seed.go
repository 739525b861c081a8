// Package seed reads a database of auth, the Python service by Farshid Ashouri that
// Gatehouse carries on: SQLite or PostgreSQL, as its SQLAlchemy models and its older
// sqlite3 module have made it, with plain or encrypted names or both.
//
// It only reads. Start at Open and Rows; what the rows become is for its caller.
package seed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	// The driver's name is "sqlite".
	_ "modernc.org/sqlite"
)

// Why a row cannot be taken as it stands.
var (
	// ErrSealed, ErrNotOpened and ErrDamaged are about a value that may be a
	// ciphertext; see Options.
	ErrSealed    = errors.New("looks encrypted, and no encryption key is given")
	ErrNotOpened = errors.New("looks encrypted, and the encryption key does not open it")
	ErrDamaged   = errors.New("looks like an encrypted value that was changed")

	ErrForeignRole   = errors.New("is linked to a role of another creator")
	ErrDuplicateRole = errors.New("repeats a role of an earlier row, which stands")
	ErrDuplicateUser = errors.New("repeats a user of an earlier row, which stands")
)

// Options says what the names in a database may be.
type Options struct {
	// Key is the database's AUTH_ENCRYPTION_KEY; empty where it never had one.
	Key string

	// AllowPlain takes a value that looks encrypted, or like an encrypted one that was
	// changed, as it stands where it does not open.
	AllowPlain bool
}

// Kind is what a Row tells of.
type Kind int

// The kinds of Row, in the order in which they come.
const (
	Creator    Kind = iota // there is one
	Role                   // a role
	Grant                  // a role holds a permission
	Membership             // a user holds a role
	Kinds                  // how many kinds there are
)

// Row is one thing that is in force in auth: rows that are not active, and links to
// them, are not read, as auth does not.
type Row struct {
	Kind Kind
	// Table and ID say where it stands; for a Creator they are empty.
	Table string
	ID    int64
	// Creator is the client key that it belongs to, as it stands.
	Creator string
	Role    string
	// Name is the permission of a Grant or the user of a Membership.
	Name        string
	Description string
	// Refused tells of a Membership that strict_users makes auth answer no about: the
	// user has no API key that is good.
	Refused bool
	// Err is why the row cannot be taken; nil where it can.
	Err error
}

// Place names the row in messages, without what it holds.
func (r Row) Place() string { return fmt.Sprintf("%s row %d", r.Table, r.ID) }

// Database is a database of auth, at one moment.
type Database struct {
	db         *sql.DB
	tx         *sql.Tx
	engine     dialect
	cipher     *Cipher
	allowPlain bool

	// opened and forced count the values that the key has opened, and those with the
	// form of a ciphertext that were taken as they stand.
	opened, forced int

	// strict holds the tenants' own strict_users, by creator in lower case; strictElse
	// stands for the others.
	strict     map[string]bool
	strictElse bool
	// keyed are the users of strict tenants who have an API key that is good.
	keyed map[account]bool
}

// account is a user of a creator, in lower case.
type account struct{ creator, user string }

// dialect is what the two engines say differently.
type dialect struct {
	hasTable string // with the table's name in place of %s
	now      string // in UTC, as auth's columns keep it
	hint     string // what to try where a table is missing
}

var (
	sqliteDialect = dialect{
		hasTable: "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '%s')",
		now:      "CURRENT_TIMESTAMP",
	}
	postgresDialect = dialect{
		hasTable: "SELECT to_regclass('%s') IS NOT NULL",
		now:      "(now() AT TIME ZONE 'UTC')",
		hint:     "; for tables in a schema of their own add ?search_path=SCHEMA to the URL",
	}
)

const connectTimeout = 10 * time.Second

// OpenSQLite opens a file, which must be there, read-only.
func OpenSQLite(ctx context.Context, path string, options Options) (*Database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parameters := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()+"?"+parameters.Encode())
	if err != nil {
		return nil, err
	}
	return open(ctx, db, sqliteDialect, &sql.TxOptions{ReadOnly: true}, options)
}

// OpenPostgres opens the database of a postgres:// URL.
func OpenPostgres(ctx context.Context, url string, options Options) (*Database, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The driver's error repeats parts of the URL.
		return nil, errors.New("PostgreSQL's driver does not accept the URL's host, port, TLS files or parameters")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	// Nothing is left behind on a pooler's connection.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return open(ctx, stdlib.OpenDB(*config), postgresDialect, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, options)
}

func open(ctx context.Context, db *sql.DB, engine dialect, how *sql.TxOptions, options Options) (_ *Database, err error) {
	d := &Database{db: db, engine: engine, allowPlain: options.AllowPlain}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if options.Key != "" {
		if d.cipher, err = NewCipher(options.Key); err != nil {
			return nil, err
		}
	}
	if d.tx, err = db.BeginTx(ctx, how); err != nil {
		return nil, err
	}
	if engine == postgresDialect {
		// Row-level security, which later releases have, would hide tenants silently; so
		// it is an error.
		if _, err = d.tx.ExecContext(ctx, "SET LOCAL row_security = off"); err != nil {
			return nil, err
		}
	}
	if err = d.checkTables(ctx); err != nil {
		return nil, err
	}
	return d, d.readStrictness(ctx)
}

// Close lets go of the database.
func (d *Database) Close() error {
	if d.tx != nil {
		_ = d.tx.Rollback() // nothing was written
	}
	return d.db.Close()
}

const (
	groupTable      = "auth_group"
	membershipTable = "auth_membership"
	permissionTable = "auth_permission"
	apiKeyTable     = "auth_api_key"
	settingsTable   = "auth_tenant_settings"
)

// required are the columns that are read.
var required = []struct {
	table   string
	columns []string
}{
	{groupTable, []string{"id", "creator", "role", "description", "is_active"}},
	{membershipTable, []string{"id", "creator", "user", "is_active"}},
	{permissionTable, []string{"id", "creator", "name", "is_active"}},
	{"membership_groups", []string{"membership_id", "group_id"}},
	{"permission_groups", []string{"permission_id", "group_id"}},
}

func (d *Database) checkTables(ctx context.Context) error {
	for _, want := range required {
		there, err := d.hasTable(ctx, want.table)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("there is no table %s: this is not a database of auth%s", want.table, d.engine.hint)
		}
		rows, err := d.tx.QueryContext(ctx, "SELECT * FROM "+want.table+" LIMIT 0")
		if err != nil {
			return fmt.Errorf("read %s: %w", want.table, err)
		}
		columns, err := rows.Columns()
		if err := errors.Join(err, rows.Close()); err != nil {
			return fmt.Errorf("read %s: %w", want.table, err)
		}
		for _, column := range want.columns {
			if !slices.Contains(columns, column) {
				return fmt.Errorf("the table %s has no column %s: this is not a database of a release of auth that is known", want.table, column)
			}
		}
	}
	return nil
}

func (d *Database) hasTable(ctx context.Context, table string) (there bool, err error) {
	err = d.tx.QueryRowContext(ctx, fmt.Sprintf(d.engine.hasTable, table)).Scan(&there)
	return there, err
}

// grandfathered is no tenant: it marks a database from which on a tenant without
// settings is strict.
const grandfathered = "__meta:grandfathered-3.0__"

// readStrictness reads which tenants refuse users without an API key.
func (d *Database) readStrictness(ctx context.Context) error {
	d.strict, d.keyed = map[string]bool{}, map[account]bool{}
	there, err := d.hasTable(ctx, settingsTable)
	if err != nil || !there {
		return err
	}
	err = d.each(ctx, "SELECT creator, strict_users FROM auth_tenant_settings", func(rows *sql.Rows) (bool, error) {
		var creator string
		var strict bool
		if err := rows.Scan(&creator, &strict); err != nil {
			return false, err
		}
		creator = strings.ToLower(creator)
		d.strict[creator] = strict || d.strict[creator]
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", settingsTable, err)
	}
	_, d.strictElse = d.strict[grandfathered]
	if there, err = d.hasTable(ctx, apiKeyTable); err != nil || !there {
		return err
	}
	// Users are compared as they are called, for some may be encrypted in one table and
	// not in the other. One who cannot be read has no key.
	err = d.each(ctx, `SELECT creator, "user" FROM auth_api_key WHERE is_active AND (expires_at IS NULL OR expires_at > `+d.engine.now+`)`,
		func(rows *sql.Rows) (bool, error) {
			var row Row
			if err := rows.Scan(&row.Creator, &row.Name); err != nil || !d.isStrict(row.Creator) {
				return true, err
			}
			if err := d.reveal(&row, "user", &row.Name); err != nil || row.Err != nil {
				return true, err
			}
			d.keyed[row.account()] = true
			return true, nil
		})
	if err != nil {
		return fmt.Errorf("read %s: %w", apiKeyTable, err)
	}
	return nil
}

func (r Row) account() account { return account{strings.ToLower(r.Creator), r.Name} }

func (d *Database) isStrict(creator string) bool {
	if strict, set := d.strict[strings.ToLower(creator)]; set {
		return strict
	}
	return d.strictElse
}

// Rows reads everything: all of one kind after the other, and within a kind by
// creator. A row with an Err is not the last; an error of the iteration is.
func (d *Database) Rows(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		more := true
		for _, read := range []struct {
			query string
			scan  func(*sql.Rows) (Row, error)
		}{
			{creatorsQuery, scanCreator},
			{rolesQuery, d.scanRole},
			{grantsQuery, d.scanGrant},
			{membershipsQuery, d.scanMembership},
		} {
			err := d.each(ctx, read.query, func(rows *sql.Rows) (bool, error) {
				row, err := read.scan(rows)
				if err == nil {
					more = yield(row, nil)
				}
				return more, err
			})
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// each calls scan for each row of a query, until it returns false.
func (d *Database) each(ctx context.Context, query string, scan func(*sql.Rows) (more bool, err error)) error {
	rows, err := d.tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if more, err := scan(rows); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// What auth looks for it takes the first row of, so a second one of a name is not in
// force; the oldest databases have no constraint against it.
const (
	creatorsQuery = `SELECT creator FROM auth_group UNION SELECT creator FROM auth_membership
UNION SELECT creator FROM auth_permission ORDER BY 1`

	isRepeatedRole = `EXISTS (SELECT 1 FROM auth_group d
WHERE d.creator = g.creator AND d.role = g.role AND d.is_active AND d.id < g.id)`

	rolesQuery = `SELECT g.id, g.creator, g.role, COALESCE(g.description, ''), ` + isRepeatedRole + `
FROM auth_group g WHERE g.is_active ORDER BY g.creator, g.id`

	grantsQuery = `SELECT p.id, p.creator, p.name, g.creator, g.role, ` + isRepeatedRole + `
FROM auth_permission p JOIN permission_groups l ON l.permission_id = p.id JOIN auth_group g ON g.id = l.group_id
WHERE p.is_active AND g.is_active ORDER BY p.creator, p.id, g.id`

	membershipsQuery = `SELECT m.id, m.creator, m."user", g.creator, g.role, ` + isRepeatedRole + `,
EXISTS (SELECT 1 FROM auth_membership d WHERE d.creator = m.creator AND d."user" = m."user" AND d.is_active AND d.id < m.id)
FROM auth_membership m JOIN membership_groups l ON l.membership_id = m.id JOIN auth_group g ON g.id = l.group_id
WHERE m.is_active AND g.is_active ORDER BY m.creator, m.id, g.id`
)

func scanCreator(rows *sql.Rows) (Row, error) {
	row := Row{Kind: Creator}
	return row, rows.Scan(&row.Creator)
}

func (d *Database) scanRole(rows *sql.Rows) (Row, error) {
	row := Row{Kind: Role, Table: groupTable}
	var repeated bool
	if err := rows.Scan(&row.ID, &row.Creator, &row.Role, &row.Description, &repeated); err != nil {
		return row, fmt.Errorf("read %s: %w", row.Table, err)
	}
	if repeated {
		row.Err = ErrDuplicateRole
	}
	return row, d.reveal(&row, "description", &row.Description)
}

func (d *Database) scanGrant(rows *sql.Rows) (Row, error) {
	row := Row{Kind: Grant, Table: permissionTable}
	var roleCreator string
	var repeated bool
	if err := rows.Scan(&row.ID, &row.Creator, &row.Name, &roleCreator, &row.Role, &repeated); err != nil {
		return row, fmt.Errorf("read %s: %w", row.Table, err)
	}
	row.Err = linkError(row.Creator, roleCreator, repeated)
	return row, d.reveal(&row, "name", &row.Name)
}

func (d *Database) scanMembership(rows *sql.Rows) (Row, error) {
	row := Row{Kind: Membership, Table: membershipTable}
	var roleCreator string
	var repeatedRole, repeatedUser bool
	if err := rows.Scan(&row.ID, &row.Creator, &row.Name, &roleCreator, &row.Role, &repeatedRole, &repeatedUser); err != nil {
		return row, fmt.Errorf("read %s: %w", row.Table, err)
	}
	if row.Err = linkError(row.Creator, roleCreator, repeatedRole); repeatedUser {
		row.Err = ErrDuplicateUser
	}
	if err := d.reveal(&row, "user", &row.Name); err != nil {
		return row, err
	}
	row.Refused = d.isStrict(row.Creator) && !d.keyed[row.account()]
	return row, nil
}

func linkError(creator, roleCreator string, repeated bool) error {
	switch {
	case !strings.EqualFold(creator, roleCreator):
		return ErrForeignRole
	case repeated:
		return ErrDuplicateRole
	default:
		return nil
	}
}

// OddKey tells whether, of all that was read so far, the key has opened nothing though
// there was something to open: it is likely another database's.
func (d *Database) OddKey() bool { return d.cipher != nil && d.opened == 0 && d.forced > 0 }

// ValueError is why a value cannot be read: ErrSealed, ErrNotOpened or ErrDamaged. It
// does not tell the value.
type ValueError struct {
	Column string
	Err    error
}

func (e *ValueError) Error() string { return e.Column + ": " + e.Err.Error() }

func (e *ValueError) Unwrap() error { return e.Err }

// reveal decrypts a value of a row in place, or says in the row why not. Its error is
// a fault of the cipher's own.
func (d *Database) reveal(row *Row, column string, value *string) error {
	looks := formOf(*value)
	switch {
	case looks == plain, looks == damaged && d.cipher == nil:
		return nil
	case looks == sealed && d.cipher != nil:
		name, err := d.cipher.open(row.Creator, *value)
		if err == nil {
			*value = name
			d.opened++
			return nil
		}
		if !errors.Is(err, errNotAuthentic) {
			return err
		}
	}
	if d.allowPlain {
		if looks == sealed {
			d.forced++
		}
		return nil
	}
	why := ErrNotOpened
	switch {
	case d.cipher == nil:
		why = ErrSealed
	case looks == damaged:
		why = ErrDamaged
	}
	row.Err = &ValueError{Column: column, Err: why}
	return nil
}
