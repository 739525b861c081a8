package sqlstore_test

import (
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// bigTenant fills the tenant "big" with 100,000 memberships and as many users and
// sessions, and another one beside it. %[1]s is the engine's name for the numbers 1 to 100,000.
const bigTenant = `
INSERT INTO tenants (id, revision, created_at) VALUES ('big', 1, 1), ('other', 1, 1);
INSERT INTO roles (tenant, name, description) SELECT 'big', 'role' || n, '' FROM %[1]s WHERE n <= 20;
INSERT INTO grants (tenant, role, permission) SELECT 'big', 'role' || (n %% 20 + 1), 'permission' || n FROM %[1]s WHERE n <= 2000;
INSERT INTO users (tenant, name, active, properties) SELECT 'big', 'user' || n, 1, '{}' FROM %[1]s;
INSERT INTO user_groups (tenant, name, description) SELECT 'big', 'group' || n, '' FROM %[1]s WHERE n <= 1000;
INSERT INTO group_members (tenant, member_type, member, group_name) SELECT 'big', 'user', 'user' || n, 'group' || (n %% 1000 + 1) FROM %[1]s;
INSERT INTO group_members (tenant, member_type, member, group_name) SELECT 'big', 'group', 'group' || n, 'group' || (n + 100) FROM %[1]s WHERE n <= 900;
INSERT INTO nodes (tenant, type, id, parent_type, parent_id, name, owner, properties)
	SELECT 'big', 'post', 'post' || n, 'project', 'project' || (n %% 1000), '', 'user' || n, '{}' FROM %[1]s;
INSERT INTO memberships (tenant, subject_type, subject, node_type, node_id, role, not_before, expires_at)
	SELECT 'big', CASE WHEN n %% 100 = 0 THEN 'group' ELSE 'user' END, CASE WHEN n %% 100 = 0 THEN 'group' ELSE 'user' END || n,
		CASE WHEN n %% 2 = 0 THEN 'tenant' ELSE 'post' END, CASE WHEN n %% 2 = 0 THEN '' ELSE 'post' || n END,
		'role' || (n %% 20 + 1), 0, 9223372036854775807 FROM %[1]s;
INSERT INTO sessions (tenant, id, subject, epoch, generation, recent, confirmed, recovered, replays,
	created_at, rotated_at, idle_expires_at, expires_at, ip, user_agent, binding, ended_at, sweep_at, end_reason)
	SELECT 'big', 'session' || n, 'user' || (n %% 1000), 0, 1, '[]', 0, 0, 0, n, n, n + 1000, n + 2000, '', '', 'off',
		CASE WHEN n %% 3 = 0 THEN n ELSE 9223372036854775807 END, n + 1000, '' FROM %[1]s;
INSERT INTO decisions (tenant, id, decided_at, actor, subject, permission, resource_type, resource_id, allowed, revision, details, request_id, ip)
	SELECT 'big', '01993f6e-' || n, n, 'system', 'user' || (n %% 1000), 'permission' || (n %% 100), 'post', 'post' || (n %% 1000), n %% 10, 1, '{}', 'request' || n, '' FROM %[1]s WHERE n <= 20000;
INSERT INTO session_users (tenant, name, epoch) SELECT 'big', 'user' || n, 0 FROM %[1]s;
INSERT INTO audit_events (tenant, id, occurred_at, actor, action, resource, subject, outcome, details, ip, user_agent, request_id, revision, salt, seq)
	SELECT 'big', 'id' || n, n, 'actor', 'ACTION_' || (n %% 40), 'role/' || (n %% 1000), CASE WHEN n %% 2 = 0 THEN 'user' || (n %% 1000) ELSE '' END,
		CASE WHEN n %% 100 = 0 THEN 'refused' ELSE 'success' END, '{}', '', '', 'request' || n, n, '', CASE WHEN n > 19900 THEN -1 ELSE n END FROM %[1]s WHERE n <= 20000;
`

var (
	numbers = map[string]string{
		"sqlite": "(WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 100000) SELECT n FROM counter) numbers",
		"pgx":    "generate_series(1, 100000) AS numbers(n)",
	}
	// whole matches the step of a plan that reads all that a tenant, or every
	// tenant, has in one of the big tables.
	whole = map[string]*regexp.Regexp{
		"sqlite": regexp.MustCompile(`^(SCAN (m|gm|n|u|s|e|memberships|group_members|nodes|users|sessions|session_users|decisions|audit_events)\b|SEARCH (m|gm|n|u|s|e|memberships|group_members|nodes|users|sessions|session_users|decisions|audit_events) .*\(tenant=\?\)$)`),
		"pgx":    regexp.MustCompile(`Seq Scan on (memberships|group_members|nodes|users|sessions|session_users|decisions|audit_events)\b|Index Cond: \(tenant = [^()]*\)$`),
	}
)

// ofUser matches the queries on one user's sessions. A plan that finds them behind an id
// without the user would read the tenant's.
var ofUser = regexp.MustCompile(`(?i)sessionsOfUser$|^endOldestSessions$`)

// byFilter names the index that a list of decisions is to seek: behind an id alone it
// would read all of the tenant's that the filter does not want.
var byFilter = map[string]string{
	"decisionsOfUser": "decisions_by_user", "decisionsOfPermission": "decisions_by_permission", "decisionsOnResource": "decisions_by_resource",
	"decisionsByAnswer": "decisions_by_answer", "decisionsOfRequest": "decisions_by_request", "staleDecisions": "decisions_by_time",
}

// filterIndex says which index finds the events of a filter.
var filterIndex = map[string]string{
	"auditEventsOfSubject":  "audit_events_by_subject",
	"auditEventsOfAction":   "audit_events_by_action",
	"auditEventsOfResource": "audit_events_by_resource",
	"auditEventsOfRequest":  "audit_events_by_request",
	"auditEventsRefused":    "audit_events_refused",
	"pendingAuditTenant":    "audit_events_pending",
	"pendingAuditEvents":    "audit_events_pending",
	"sequencedAuditEvents":  "audit_events_by_seq",
	"oldestAuditPlace":      "audit_events_by_seq",
}

// walksPlaces are the queries that may read a tenant's part of an index: of the few
// pending events, or from the oldest place on.
var walksPlaces = []string{"pendingAuditEvents", "oldestAuditPlace", "firstAuditPlace"}

// TestPlans holds every query, but for those that read a whole list on purpose, to
// plans that do not grow with the tenant.
func TestPlans(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		if _, _, err := sqlstore.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		// Settings and prepared statements belong to a connection.
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { _ = db.Close() })
		for statement := range strings.SplitSeq(fmt.Sprintf(bigTenant, numbers[e.driver]), ";\n") {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		// PostgreSQL keeps statistics by itself, and SQLite has none.
		if e.driver == "pgx" {
			if _, err := db.ExecContext(t.Context(), "ANALYZE"); err != nil {
				t.Fatal(err)
			}
		}
		for name, query := range generatedQueries(t, e.dialect) {
			// A lock has no plan.
			if strings.HasPrefix(name, "all") || strings.HasPrefix(query, "LOCK ") {
				continue
			}
			plan := planOf(t, db, e.driver, name, query)
			if ofUser.MatchString(name) && !strings.Contains(strings.Join(plan, "\n"), "subject = $") && !strings.Contains(strings.Join(plan, "\n"), "subject=?") {
				t.Errorf("%s does not look the user up:\n%s", name, strings.Join(plan, "\n"))
			}
			if index := byFilter[name]; !strings.Contains(strings.Join(plan, "\n"), index) {
				t.Errorf("%s does not seek %s:\n%s", name, index, strings.Join(plan, "\n"))
			}
			if index := filterIndex[name]; index != "" && !strings.Contains(strings.Join(plan, "\n"), index) {
				t.Errorf("%s does not use %s:\n%s", name, index, strings.Join(plan, "\n"))
			}
			for _, step := range plan {
				if whole[e.driver].MatchString(step) && !slices.Contains(walksPlaces, name) {
					t.Errorf("%s reads a whole tenant: %q in\n%s", name, step, strings.Join(plan, "\n"))
				}
			}
		}
	})
}

// planOf asks for the plan that serves any arguments.
func planOf(t *testing.T, db *sql.DB, driver, name, query string) (plan []string) {
	t.Helper()
	arguments := 0
	for _, match := range regexp.MustCompile(`[?$](\d+)`).FindAllStringSubmatch(query, -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		arguments = max(arguments, n)
	}
	var (
		rows *sql.Rows
		err  error
	)
	if driver == "sqlite" {
		rows, err = db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{"1"}, arguments)...)
	} else {
		execute := "q_" + name
		if arguments > 0 {
			execute += "('1'" + strings.Repeat(", '1'", arguments-1) + ")"
		}
		for _, statement := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE q_" + name + " AS " + query} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		rows, err = db.QueryContext(t.Context(), "EXPLAIN EXECUTE "+execute)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var step string
		into := []any{&step}
		if driver == "sqlite" {
			into = []any{new(any), new(any), new(any), &step}
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// generatedQueries reads sqlc's queries for an engine, which are constants of its
// packages, by name.
func generatedQueries(t *testing.T, dialect string) map[string]string {
	t.Helper()
	folder := map[string]string{"sqlite": "sqlite", "postgresql": "postgres"}[dialect]
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "gen", folder, "*.sql.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v", files, err)
	}
	queries := map[string]string{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			constants, ok := decl.(*ast.GenDecl)
			if !ok || constants.Tok != token.CONST {
				continue
			}
			for _, spec := range constants.Specs {
				spec := spec.(*ast.ValueSpec)
				text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				// What stands before the statement would be a comment to EXPLAIN as well.
				_, query, _ := strings.Cut(text, "\n")
				queries[spec.Names[0].Name] = query
			}
		}
	}
	return queries
}
