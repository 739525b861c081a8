package engine_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

// auditTables hold the log.
var auditTables = []string{"audit_events", "audit_heads", "audit_tiles", "audit_checkpoints"}

// tampering is a log that somebody with the database in hand rewrites.
type tampering struct {
	engine *engine.Engine
	tenant *engine.Tenant
	db     *sql.DB
}

func newTampering(t *testing.T, database string, encryption ...engine.EncryptionConfig) *tampering {
	t.Helper()
	config := engine.Config{Database: database, AutoMigrate: true}
	if len(encryption) > 0 {
		config.Encryption = encryption[0]
	}
	e := openEngine(t, config)
	driver := "pgx"
	if !strings.Contains(database, "://") {
		driver, database = "sqlite", "file:"+strings.TrimPrefix(database, "sqlite:")+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, database)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return &tampering{engine: e, tenant: e.Tenant("tenant"), db: db}
}

func (x *tampering) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := x.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// grow writes events, and has them sequenced and signed.
func (x *tampering) grow(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := x.tenant.AddRole(t.Context(), fmt.Sprintf("role-%d", n), authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	x.sequence(t)
}

func (x *tampering) sequence(t *testing.T) {
	t.Helper()
	if err := x.engine.SequenceAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// save keeps a copy of the log under a name, and restore brings it back.
func (x *tampering) save(t *testing.T, name string) {
	t.Helper()
	for _, table := range auditTables {
		x.exec(t, "CREATE TABLE "+name+"_"+table+" AS SELECT * FROM "+table)
	}
}

func (x *tampering) restore(t *testing.T, name string) {
	t.Helper()
	for _, table := range auditTables {
		x.exec(t, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM "+name+"_"+table)
	}
}

func (x *tampering) checkpoint(t *testing.T) audit.Checkpoint {
	t.Helper()
	c, err := x.tenant.AuditCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Checkpoint
}

func (x *tampering) verify(t *testing.T, known ...audit.Checkpoint) (audit.Verified, error) {
	t.Helper()
	key, err := x.engine.AuditKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return x.tenant.VerifyAudit(t.Context(), key, known, func(int64) {})
}

// TestTamperingIsFound rewrites a log of 300 events in every way, and wants the first
// wrong event named, or the checkpoint that does not hold.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		testTampering(t, newTampering(t, database), database, true)
	})
}

// TestTamperingWithSealedIsFound is for whoever has a sealed database in hand, and not
// its key, so that no event can be rewritten.
func TestTamperingWithSealedIsFound(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		x := newTampering(t, database, engine.EncryptionConfig{Enabled: true, Secret: "the secret of the log"})
		testTampering(t, x, database, false)
	})
}

func testTampering(t *testing.T, x *tampering, database string, rewritable bool) {
	t.Helper()
	x.grow(t, 0, 200)
	older := x.checkpoint(t)
	x.save(t, "older")
	x.grow(t, 200, 299) // with the rest of the first, there are two tiles of leaves
	newest := x.checkpoint(t)
	x.save(t, "good")
	if v, err := x.verify(t, older, newest); err != nil || v.To != newest.Size || v.From != 0 {
		t.Fatalf("the log as it is: got %+v, %v", v, err)
	}
	const place = 150
	const at = " WHERE tenant = 'tenant' AND seq = 150"
	// A hash of zeros, and how the engines write one into a tile.
	zeros := func(hash int) string {
		cut := fmt.Sprintf("substr(hashes, 1, %d) || X'%s' || substr(hashes, %d)", hash*32, strings.Repeat("00", 32), hash*32+33)
		if strings.Contains(database, "://") {
			return strings.ReplaceAll(cut, "X'", `'\x`)
		}
		return "CAST(" + cut + " AS blob)"
	}
	longer := "CAST(hashes || hashes AS blob)"
	if strings.Contains(database, "://") {
		longer = "hashes || hashes"
	}
	type finding struct {
		seq, checkpoint int64
		part            string
	}
	cases := map[string]struct {
		statements []string
		want       finding
	}{
		"the first row deleted":         {[]string{"DELETE FROM audit_events WHERE tenant = 'tenant' AND seq = 0"}, finding{0, 0, "is missing"}},
		"a middle row deleted":          {[]string{"DELETE FROM audit_events" + at}, finding{place, 0, "is missing"}},
		"the last row deleted":          {[]string{fmt.Sprintf("DELETE FROM audit_events WHERE tenant = 'tenant' AND seq = %d", newest.Size-1)}, finding{newest.Size - 1, 0, "is missing"}},
		"a row taken out of the tree":   {[]string{"UPDATE audit_events SET seq = 100000" + at}, finding{place, 0, "is missing"}},
		"a row moved to another tenant": {[]string{"UPDATE audit_events SET tenant = 'other'" + at}, finding{place, 0, "is missing"}},
		"two rows swapped": {[]string{
			"UPDATE audit_events SET seq = 100000 WHERE tenant = 'tenant' AND seq = 150",
			"UPDATE audit_events SET seq = 150 WHERE tenant = 'tenant' AND seq = 160",
			"UPDATE audit_events SET seq = 160 WHERE tenant = 'tenant' AND seq = 100000",
		}, finding{place, 0, "its place is 160"}},
		"a row added at the end": {[]string{
			fmt.Sprintf("UPDATE audit_events SET seq = %d WHERE tenant = 'tenant' AND seq = 150", newest.Size),
		}, finding{place, 0, "is missing"}},
		"the head lowered":         {[]string{"UPDATE audit_heads SET size = 250"}, finding{250, 0, "beyond the end"}},
		"the head raised":          {[]string{"UPDATE audit_heads SET size = size + 1"}, finding{newest.Size, 0, "no leaf"}},
		"the head deleted":         {[]string{"DELETE FROM audit_heads"}, finding{0, 0, "beyond the end"}},
		"called pruned":            {[]string{"UPDATE audit_heads SET pruned = 10", "DELETE FROM audit_events WHERE tenant = 'tenant' AND seq < 10"}, finding{0, 0, "no event says"}},
		"called pruned, one only":  {[]string{"UPDATE audit_heads SET pruned = 160", "DELETE FROM audit_events" + at}, finding{place, 0, "no event says"}},
		"a leaf's hash changed":    {[]string{"UPDATE audit_tiles SET hashes = " + zeros(place) + " WHERE level = 0 AND number = 0"}, finding{place, 0, "not what the tree says"}},
		"a node's hash changed":    {[]string{"UPDATE audit_tiles SET hashes = " + zeros(0) + " WHERE level = 1 AND number = 0"}, finding{255, 0, "tile 0 of level 1"}},
		"a tile deleted":           {[]string{"DELETE FROM audit_tiles WHERE level = 0 AND number = 1"}, finding{256, 0, "no leaf"}},
		"pruned raised alone":      {[]string{"UPDATE audit_heads SET pruned = 10"}, finding{0, 0, "no event says"}},
		"the checkpoints deleted":  {[]string{"DELETE FROM audit_checkpoints"}, finding{0, newest.Size, "kept no more"}},
		"a seal made up":           {[]string{"UPDATE audit_events SET seal = 'k1.AAAA'" + at}, finding{place, 0, "was changed"}},
		"a tile made longer":       {[]string{"UPDATE audit_tiles SET hashes = " + longer + " WHERE level = 0 AND number = 0"}, finding{0, 0, "too long"}},
		"a tile cut":               {[]string{"UPDATE audit_tiles SET hashes = substr(hashes, 1, 40) WHERE level = 0 AND number = 1"}, finding{257, 0, "no leaf"}},
		"a checkpoint rewritten":   {[]string{fmt.Sprintf("UPDATE audit_checkpoints SET note = replace(note, '%d', '%d')", newest.Size, newest.Size-1)}, finding{0, newest.Size, "has not signed"}},
		"a checkpoint misplaced":   {[]string{fmt.Sprintf("UPDATE audit_checkpoints SET size = %d WHERE size = %d", newest.Size-1, newest.Size)}, finding{0, newest.Size - 1, "in the place of another"}},
		"the tail cut off cleanly": {[]string{"DELETE FROM audit_events WHERE seq >= 250", "UPDATE audit_heads SET size = 250", "UPDATE audit_tiles SET hashes = substr(hashes, 1, 250*32) WHERE level = 0 AND number = 0", "DELETE FROM audit_tiles WHERE level > 0 OR number > 0"}, finding{0, newest.Size, "cut off"}},
		"everything deleted":       {[]string{"DELETE FROM audit_events", "DELETE FROM audit_heads", "DELETE FROM audit_tiles", "DELETE FROM audit_checkpoints"}, finding{0, older.Size, "cut off"}},
	}
	for _, column := range []string{"id", "actor", "action", "resource", "subject", "outcome", "details", "ip", "user_agent", "request_id", "salt"} {
		cases[column+" changed"] = struct {
			statements []string
			want       finding
		}{[]string{"UPDATE audit_events SET " + column + " = " + column + " || 'x'" + at}, finding{place, 0, "was changed"}}
	}
	for _, column := range []string{"occurred_at", "revision"} {
		cases[column+" changed"] = struct {
			statements []string
			want       finding
		}{[]string{"UPDATE audit_events SET " + column + " = " + column + " + 1" + at}, finding{place, 0, "was changed"}}
	}
	check := func(t *testing.T, name string, want finding, known ...audit.Checkpoint) {
		t.Helper()
		_, err := x.verify(t, known...)
		found, ok := errors.AsType[*audit.Finding](err)
		if !ok || found.Seq != want.seq || found.Checkpoint != want.checkpoint || !strings.Contains(found.Error(), want.part) {
			t.Errorf("%s: got %v, want %+v", name, err, want)
		}
	}
	for name, c := range cases {
		x.exec(t, c.statements...)
		check(t, name, c.want, older, newest)
		x.restore(t, "good")
	}

	x.restore(t, "older")
	if _, err := x.verify(t, older); err != nil {
		t.Errorf("an older copy and its own checkpoint: got %v", err)
	}
	check(t, "an older copy restored", finding{0, newest.Size, "older copy"}, older, newest)

	if !rewritable {
		return
	}

	// Whoever rewrites everything and has the server sign it again is found by the
	// checkpoint that was kept elsewhere.
	x.restore(t, "good")
	x.exec(t, "UPDATE audit_events SET actor = 'someone else'"+at, "UPDATE audit_events SET seq = -1",
		"DELETE FROM audit_heads", "DELETE FROM audit_tiles", "DELETE FROM audit_checkpoints")
	x.sequence(t)
	if _, err := x.verify(t); err != nil {
		t.Errorf("a fork by itself: got %v", err)
	}
	check(t, "a fork", finding{0, older.Size, "not those that it was signed for"}, older, newest)

	// What was signed once is never signed otherwise.
	x.restore(t, "good")
	x.exec(t, "UPDATE audit_tiles SET hashes = "+zeros(40)+" WHERE level = 0 AND number = 1")
	if _, err := x.tenant.AddRole(t.Context(), "one-more", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := x.engine.SequenceAudit(t.Context()); !errors.Is(err, audit.ErrForked) {
		t.Errorf("signing over a changed tile: got %v, want %v", err, audit.ErrForked)
	}
}
