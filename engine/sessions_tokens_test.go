package engine_test

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestForgedTokensChangeNothing shows that what is not signed by us, or was for another
// purpose, is an invalid token, and that the database is not written to for it.
func TestForgedTokensChangeNothing(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, database string) {
				e := openEngine(t, engine.Config{Database: database, AutoMigrate: true, TokenAlgorithm: algorithm})
				tenant := e.Tenant("tenant")
				issued := signIn(t, tenant, "alice")
				foreign := signIn(t, e.Tenant("other"), "alice")
				set, err := e.JWKS(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tokens := forgeries(t, issued.Token, set)
				tokens["of another tenant"] = foreign.Token
				unchanged(t, database, func() {
					for what, token := range tokens {
						refusesEverywhere(t, what, e, tenant, token, what != "of another tenant")
					}
				})
				rotate(t, tenant, from(home, issued.Token))
			})
		})
	}
}

// TestWellSignedTokensOfAnotherKindAreRefused has them signed with the real key.
func TestWellSignedTokensOfAnotherKindAreRefused(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		secret := []byte(strings.Repeat("s", 32))
		e := openEngine(t, engine.Config{Database: database, AutoMigrate: true, TokenSecret: secret, Issuer: "https://auth.example.com"})
		tenant := e.Tenant("tenant")
		issued := signIn(t, tenant, "alice")
		header, claims := decoded(t, issued.Token)
		if claims["iss"] != "https://auth.example.com" || claims["aud"] != "tenant" || claims["sub"] != "alice" ||
			claims["sid"] != issued.Session.ID || claims["gen"] != 1.0 || header["typ"] != "session+jwt" {
			t.Errorf("got a token of %v and %v, want it to tell of its session", header, claims)
		}
		sign := func(change map[string]any, typ string) string {
			changed := maps.Clone(claims)
			for name, value := range change {
				if changed[name] = value; value == nil {
					delete(changed, name)
				}
			}
			token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(changed))
			token.Header["kid"], token.Header["typ"] = header["kid"], typ
			signed, err := token.SignedString(secret)
			if err != nil {
				t.Fatal(err)
			}
			return signed
		}
		soon, long := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
		unchanged(t, database, func() {
			for what, token := range map[string]string{
				"no type": sign(nil, ""), "JWT": sign(nil, "JWT"), "at+jwt": sign(nil, "at+jwt"),
				"issuer":         sign(map[string]any{"iss": "gatehouse"}, "session+jwt"),
				"no issuer":      sign(map[string]any{"iss": nil}, "session+jwt"),
				"tenant":         sign(map[string]any{"aud": "other"}, "session+jwt"),
				"tenants":        sign(map[string]any{"aud": []string{"tenant", "other"}}, "session+jwt"),
				"no tenant":      sign(map[string]any{"aud": nil}, "session+jwt"),
				"session":        sign(map[string]any{"sid": "another", "exp": soon}, "session+jwt"),
				"no session":     sign(map[string]any{"sid": nil}, "session+jwt"),
				"no generation":  sign(map[string]any{"gen": nil}, "session+jwt"),
				"generation 0":   sign(map[string]any{"gen": 0}, "session+jwt"),
				"generation -1":  sign(map[string]any{"gen": -1}, "session+jwt"),
				"generation 1.5": sign(map[string]any{"gen": 1.5}, "session+jwt"),
				"no expiry":      sign(map[string]any{"exp": nil}, "session+jwt"),
			} {
				refusesEverywhere(t, what, e, tenant, token, false)
			}
			// Its session may have been swept, where it has expired.
			refused(t, tenant, from(home, sign(map[string]any{"sid": "another", "exp": long}, "session+jwt")), authz.ErrSessionEnded)
		})
		rotate(t, tenant, from(home, issued.Token))
	})
}

// TestRandomTokensChangeNothing is for what nobody has thought of.
func TestRandomTokensChangeNothing(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "gatehouse.sqlite3")
	e := openEngine(t, engine.Config{Database: database})
	tenant := e.Tenant("tenant")
	issued := signIn(t, tenant, "alice")
	const seed = 4
	random := rand.New(rand.NewPCG(seed, seed))
	unchanged(t, database, func() {
		for i := range 10_000 {
			token := []byte(issued.Token)
			for range 1 + random.IntN(4) {
				token[random.IntN(len(token))] = byte(random.IntN(256))
			}
			if string(token) == issued.Token {
				continue
			}
			if _, err := tenant.RotateSession(t.Context(), from(home, string(token))); !errors.Is(err, authz.ErrInvalidToken) {
				t.Fatalf("seed %d, token %d, %q: got error %v, want %q", seed, i, token, err, authz.ErrInvalidToken)
			}
		}
	})
}

// TestATokenWritesNothingWhereThereIsNoKey is for a new installation.
func TestATokenWritesNothingWhereThereIsNoKey(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		token := signIn(t, nodes(t, engine.Config{Database: filepath.Join(t.TempDir(), "other.sqlite3")})[0], "alice").Token
		e := openEngine(t, engine.Config{Database: database, AutoMigrate: true})
		unchanged(t, database, func() {
			refusesEverywhere(t, "of another installation", e, e.Tenant("tenant"), token, true)
			if set, err := e.JWKS(t.Context()); err != nil || len(set.Keys) != 0 {
				t.Errorf("got public keys %+v, %v, want none", set, err)
			}
		})
	})
}

// refusesEverywhere shows a token to all that takes one. A badly signed one has no
// tenant either.
func refusesEverywhere(t *testing.T, what string, e *engine.Engine, tenant *engine.Tenant, token string, badlySigned bool) {
	t.Helper()
	if _, err := tenant.RotateSession(t.Context(), from(home, token)); !errors.Is(err, authz.ErrInvalidToken) {
		t.Errorf("%s: rotate: got error %v, want %q", what, err, authz.ErrInvalidToken)
	}
	if status, err := tenant.VerifySession(t.Context(), from(home, token)); err != nil || status != (authz.SessionStatus{}) {
		t.Errorf("%s: verify: got %+v, %v, want it not active", what, status, err)
	}
	if got, err := e.TenantOfSession(t.Context(), token); badlySigned && !errors.Is(err, authz.ErrInvalidToken) {
		t.Errorf("%s: got tenant %v, error %v, want %q", what, got, err, authz.ErrInvalidToken)
	}
}

// forgeries are tokens that look like a good one and are signed by somebody else, or
// by nobody.
func forgeries(t *testing.T, good string, set engine.JWKSet) map[string]string {
	t.Helper()
	header, claims := decoded(t, good)
	parts := strings.Split(good, ".")
	with := func(change map[string]any) string {
		changed := maps.Clone(header)
		maps.Copy(changed, change)
		return encoded(t, changed) + "." + parts[1]
	}
	hmac := func(signed string, key []byte) string {
		signature, err := jwt.SigningMethodHS256.Sign(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	tokens := map[string]string{
		"claims swapped": parts[0] + "." + encoded(t, map[string]any{
			"iss": claims["iss"], "aud": claims["aud"], "sub": "mallory", "sid": claims["sid"], "gen": 99, "iat": claims["iat"], "exp": claims["exp"],
		}) + "." + parts[2],
		"signature cut off": parts[0] + "." + parts[1] + ".",
		"kid missing":       hmac(encoded(t, map[string]any{"alg": "HS256", "typ": "session+jwt"})+"."+parts[1], nil),
		"unknown kid":       hmac(with(map[string]any{"alg": "HS256", "kid": "AAAAAAAAAAAAAAAAAAAAAA"}), []byte("x")),
		"crit":              with(map[string]any{"crit": []string{"exp"}}) + "." + parts[2],
		"jku":               with(map[string]any{"jku": "https://evil.example/jwks"}) + "." + parts[2],
		"jwk":               with(map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AA"}}) + "." + parts[2],
		"oversized":         good + strings.Repeat("A", 1<<16),
		"twice":             good + "." + good,
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		tokens["alg "+none] = with(map[string]any{"alg": none}) + "."
		tokens["alg "+none+", signed"] = with(map[string]any{"alg": none}) + "." + parts[2]
	}
	for _, kid := range []string{"../../dev/null", "/dev/null", "x' OR '1'='1", "x' UNION SELECT 'AA' --", "", "\x00", strings.Repeat("k", 10_000)} {
		tokens["kid "+kid] = hmac(with(map[string]any{"alg": "HS256", "kid": kid}), nil)
	}
	for _, alg := range []string{"HS256", "HS384", "RS256", "PS256", "ES256", "EdDSA"} {
		if alg != header["alg"] {
			tokens["alg "+alg] = with(map[string]any{"alg": alg}) + "." + parts[2]
		}
	}
	for _, jwk := range set.Keys {
		for form, key := range publicForms(t, jwk) {
			tokens["HMAC with the public key as "+form] = hmac(with(map[string]any{"alg": "HS256"}), key)
		}
	}
	return tokens
}

// publicForms are the ways in which a public key may be taken for a secret.
func publicForms(t *testing.T, jwk any) map[string][]byte {
	t.Helper()
	text, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{"JSON": text}
	var members map[string]string
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n", "x"} {
		if raw, err := base64.RawURLEncoding.DecodeString(members[name]); err == nil && len(raw) > 0 {
			forms[name] = raw
		}
	}
	return forms
}

func decoded(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatalf("decode %q: %v", token, err)
		}
	}
	return header, claims
}

func encoded(t *testing.T, part map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// unchanged runs do, which must not write to the database, not even what was there.
func unchanged(t *testing.T, database string, do func()) {
	t.Helper()
	read := sqliteState
	if strings.HasPrefix(database, "postgres") {
		read = postgresState
	}
	sequencedAll(t, database)
	state := read(t, database)
	before := state()
	do()
	if after := state(); after != before {
		t.Errorf("the database is\n%s\nwant\n%s", after, before)
	}
}

// sequencedAll waits until the audit log has no more work of its own to do.
func sequencedAll(t *testing.T, database string) {
	t.Helper()
	driver := "pgx"
	if !strings.HasPrefix(database, "postgres") {
		driver, database = "sqlite", "file:"+(&url.URL{Path: database}).EscapedPath()+"?mode=ro"
	}
	db, err := sql.Open(driver, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for left := 1; left > 0; {
		err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM audit_events WHERE seq < 0)
			+ (SELECT count(*) FROM audit_heads WHERE checkpointed < size)`).Scan(&left)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sqliteState reads how often others have written to a file, and what it holds of
// sessions.
func sqliteState(t *testing.T, file string) func() string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return func() string {
		t.Helper()
		var state strings.Builder
		for _, query := range []string{
			"PRAGMA data_version", "SELECT count(*) FROM audit_events", "SELECT count(*) FROM changes",
			"SELECT id || ' ' || generation || ' ' || replays || ' ' || confirmed || ' ' || ended_at FROM sessions ORDER BY id",
			"SELECT id FROM signing_keys ORDER BY number",
		} {
			rows, err := db.QueryContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var value string
				if err := rows.Scan(&value); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(&state, value)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
		return state.String()
	}
}

// postgresState reads every row of every table, with the transaction that wrote it.
func postgresState(t *testing.T, database string) func() string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	query := func(statement string) []string {
		t.Helper()
		rows, err := conn.Query(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	return func() string {
		t.Helper()
		var state strings.Builder
		for _, table := range query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1") {
			for _, row := range query("SELECT xmin::text || ' ' || ctid::text || ' ' || t::text FROM " + pgx.Identifier{table}.Sanitize() + " t ORDER BY 1") {
				fmt.Fprintln(&state, table, row)
			}
		}
		return state.String()
	}
}
