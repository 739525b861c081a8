package engine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/signing"
)

var sharedSecret = []byte("one secret for tokens of every kind")

// forge writes tokens with the key that a server signs with.
type forge struct {
	t              *testing.T
	header, claims map[string]any
}

func newForge(t *testing.T, good string) forge {
	t.Helper()
	header, claims := decoded(t, good)
	return forge{t, header, claims}
}

// token is a good one, with some members changed; nil leaves one out.
func (f forge) token(header, claims map[string]any) string {
	f.t.Helper()
	changed := func(to, by map[string]any) map[string]any {
		to = maps.Clone(to)
		maps.Copy(to, by)
		maps.DeleteFunc(to, func(_ string, value any) bool { return value == nil })
		return to
	}
	return f.signed(encoded(f.t, changed(f.header, header)), encoded(f.t, changed(f.claims, claims)))
}

func (f forge) signed(header, claims string) string {
	f.t.Helper()
	signature, err := jwt.SigningMethodHS256.Sign(header+"."+claims, sharedSecret)
	if err != nil {
		f.t.Fatal(err)
	}
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// TestRFC8725 goes through the best current practices for JWTs, section by section, for
// access tokens. Unless it says otherwise each token has a good signature.
func TestRFC8725(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), TokenSecret: sharedSecret})
	key, info, err := e.CreateClientKey(t.Context(), engine.ClientKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := as(t, e, key).IssueTokens(t.Context(), authz.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	good := newForge(t, issued.AccessToken)
	// What the forge does must not be why a token is refused.
	as(t, e, good.signed(strings.Split(issued.AccessToken, ".")[0], encoded(t, good.claims)))
	refuses := func(t *testing.T, tokens map[string]string) {
		t.Helper()
		for what, token := range tokens {
			if _, err := e.Authenticate(t.Context(), token, engine.Actor{}); !errors.Is(err, engine.ErrUnauthenticated) {
				t.Errorf("%s: got error %v, want ErrUnauthenticated", what, err)
			}
			if got, err := as(t, e, key).IntrospectToken(t.Context(), token); err != nil || got.Active {
				t.Errorf("%s: introspect: got %+v, %v, want it not active", what, got, err)
			}
			if err := as(t, e, key).RevokeToken(t.Context(), token); err != nil {
				t.Errorf("%s: revoke: %v", what, err)
			}
		}
		as(t, e, issued.AccessToken)
	}
	withHeader := func(name string, value any) string { return good.token(map[string]any{name: value}, nil) }
	withClaim := func(name string, value any) string { return good.token(nil, map[string]any{name: value}) }
	parts := strings.Split(issued.AccessToken, ".")
	soon, long := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()

	t.Run("3.1 perform algorithm verification", func(t *testing.T) {
		tokens := map[string]string{}
		for _, alg := range []any{"none", "None", "nOnE", "", nil, "HS384", "HS512", "RS256", "ES256", "EdDSA", 7} {
			token := withHeader("alg", alg)
			tokens["signed"+encodedValue(t, alg)] = token
			tokens["not signed"+encodedValue(t, alg)] = token[:strings.LastIndex(token, ".")+1]
		}
		refuses(t, tokens)
		for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
			publicKeyIsNoSecret(t, algorithm)
		}
	})
	t.Run("3.2 use appropriate algorithms", func(t *testing.T) {
		weak, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tokens := map[string]string{}
		for method, key := range map[jwt.SigningMethod]any{jwt.SigningMethodRS256: weak, jwt.SigningMethodES384: other, jwt.SigningMethodHS256: []byte("short")} {
			token := jwt.NewWithClaims(method, jwt.MapClaims(good.claims))
			token.Header["kid"], token.Header["typ"] = good.header["kid"], good.header["typ"]
			if tokens[method.Alg()], err = token.SignedString(key); err != nil {
				t.Fatal(err)
			}
		}
		refuses(t, tokens)
		if _, _, err := signing.Generate("none"); err == nil {
			t.Error("made a key for the algorithm none")
		}
	})
	t.Run("3.3 validate all cryptographic operations", func(t *testing.T) {
		refuses(t, map[string]string{
			"no signature":              parts[0] + "." + parts[1] + ".",
			"another signature":         parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
			"a JWE":                     parts[0] + "." + parts[1] + "." + parts[2] + ".AAAA.AAAA",
			"a JWE's header":            withHeader("enc", "A256GCM"),
			"a token within the token":  good.signed(encoded(t, map[string]any{"alg": "HS256", "kid": good.header["kid"], "typ": "at+jwt", "cty": "JWT"}), parts[1]),
			"a JWS in JSON":             `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			"an extension that counts":  withHeader("crit", []string{"b64"}),
			"a payload that is no text": withHeader("b64", false),
		})
	})
	t.Run("3.4 validate cryptographic inputs", func(t *testing.T) {
		tokens := map[string]string{
			"a space":              issued.AccessToken + " ",
			"a line break":         issued.AccessToken + "\n",
			"a line break within":  parts[0] + "." + parts[1][:8] + "\r\n" + parts[1][8:] + "." + parts[2],
			"padding":              parts[0] + "." + parts[1] + "." + parts[2] + "=",
			"standard base64":      parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
			"too long":             good.token(nil, map[string]any{"padding": strings.Repeat("a", 4096)}),
			"spaces in the header": good.signed(base64.RawURLEncoding.EncodeToString([]byte(`{"alg": "HS256","kid":"`+good.header["kid"].(string)+`","typ":"at+jwt"}`)), parts[1]),
			"a compressed one":     withHeader("zip", "DEF"),
		}
		// The bits that a last character has to spare do not count, and so must be zero.
		if last := parts[2][len(parts[2])-1]; last != 'B' {
			tokens["bits to spare"] = issued.AccessToken[:len(issued.AccessToken)-1] + string(last+1)
		}
		refuses(t, tokens)
	})
	t.Run("3.5 ensure sufficient entropy of keys", func(t *testing.T) {
		for _, secret := range []string{"x", "password", strings.Repeat("s", signing.MinSecret-1)} {
			_, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), TokenSecret: []byte(secret)})
			if !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("a secret of %d bytes: got error %v, want ErrInvalid", len(secret), err)
			}
		}
	})
	t.Run("3.6 avoid compression of encryption inputs", func(t *testing.T) {
		refuses(t, map[string]string{"zip": withHeader("zip", "DEF"), "zip and enc": good.token(map[string]any{"zip": "DEF", "enc": "A128GCM"}, nil)})
	})
	t.Run("3.7 use UTF-8", func(t *testing.T) {
		claims, err := json.Marshal(good.claims)
		if err != nil {
			t.Fatal(err)
		}
		utf16 := []byte{0xfe, 0xff}
		for _, b := range claims {
			utf16 = append(utf16, 0, b)
		}
		refuses(t, map[string]string{
			"UTF-16":        good.signed(parts[0], base64.RawURLEncoding.EncodeToString(utf16)),
			"a byte order":  good.signed(parts[0], base64.RawURLEncoding.EncodeToString(append([]byte("\xef\xbb\xbf"), claims...))),
			"invalid UTF-8": good.signed(parts[0], base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), info.Tenant, "\xff", 1)))),
		})
	})
	t.Run("3.8 validate issuer and subject", func(t *testing.T) {
		refuses(t, map[string]string{
			"no issuer": withClaim("iss", nil), "another issuer": withClaim("iss", "https://evil.example"), "an empty issuer": withClaim("iss", ""),
			"issuers": withClaim("iss", []string{"gatehouse"}), "no subject": withClaim("sub", nil), "an empty subject": withClaim("sub", ""),
			"a subject that is no text": withClaim("sub", 7), "no client": withClaim("client_id", nil), "no tenant": withClaim("tenant", nil),
			"another tenant": withClaim("tenant", "other"), "no family": withClaim("fam", nil), "another family": withClaim("fam", "other"), "no jti": withClaim("jti", nil),
		})
	})
	t.Run("3.9 use and validate audience", func(t *testing.T) {
		refuses(t, map[string]string{
			"no audience": withClaim("aud", nil), "another audience": withClaim("aud", "https://other.example"), "the tenant": withClaim("aud", info.Tenant),
			"audiences": withClaim("aud", []string{"gatehouse", "other"}), "an empty audience": withClaim("aud", ""),
		})
	})
	t.Run("3.10 do not trust received claims", func(t *testing.T) {
		tokens := map[string]string{"no kid": withHeader("kid", nil)}
		for _, kid := range []any{"", "unknown", "AAAAAAAAAAAAAAAAAAAAAA", "../../dev/null", "x' OR '1'='1", 7, nil} {
			tokens["kid"+encodedValue(t, kid)] = withHeader("kid", kid)
		}
		for name, value := range map[string]any{
			"jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u", "jwk": map[string]any{"kty": "oct", "k": "AA"},
			"x5c": []string{"AA"}, "x5t": "AA",
		} {
			tokens[name] = withHeader(name, value)
		}
		refuses(t, tokens)
	})
	t.Run("3.11 use explicit typing", func(t *testing.T) {
		tokens := map[string]string{}
		for _, typ := range []any{nil, "", "JWT", "jwt", "session+jwt", "AT+JWT", "application/at+jwt", "at+jwt "} {
			tokens["typ"+encodedValue(t, typ)] = withHeader("typ", typ)
		}
		refuses(t, tokens)
	})
	t.Run("3.12 mutually exclusive validation rules", func(t *testing.T) {
		tenant := e.Tenant(info.Tenant)
		session := signIn(t, tenant, "alice")
		refuses(t, map[string]string{"a session token": session.Token})
		refusesEverywhere(t, "an access token", e, tenant, issued.AccessToken, true)
		// Even one with the claims of both is but one of them.
		_, claims := decoded(t, session.Token)
		refuses(t, map[string]string{"a session token with all claims": good.token(map[string]any{"typ": "session+jwt"}, claims)})
		refusesEverywhere(t, "an access token with all claims", e, tenant, good.token(nil, claims), true)
		rotate(t, tenant, from(home, session.Token))
	})
	t.Run("times and names", func(t *testing.T) {
		// These are ours, so that they could be revoked.
		wantDead(t, e, good.token(nil, map[string]any{"exp": long, "iat": long - 60, "nbf": long - 60}))
		wantDead(t, e, good.token(nil, map[string]any{"exp": soon + 60, "iat": soon, "nbf": soon}))
		name := func(claim, value string) string {
			claims, err := json.Marshal(good.claims)
			if err != nil {
				t.Fatal(err)
			}
			return good.signed(parts[0], base64.RawURLEncoding.EncodeToString([]byte(strings.TrimSuffix(string(claims), "}")+`,"`+claim+`":`+value+`}`)))
		}
		refuses(t, map[string]string{
			"no expiry":          withClaim("exp", nil),
			"text for an expiry": withClaim("exp", "tomorrow"), "no beginning": withClaim("nbf", nil),
			"begun before it was issued": withClaim("nbf", long),
			"no scope":                   withClaim("scope", nil), "a claim twice": name("scope", `"admin"`), "a claim in capitals, too": name("Scope", `"admin"`),
			"an unknown claim twice": good.signed(parts[0], base64.RawURLEncoding.EncodeToString([]byte(`{"a":1,"a":2}`))),
			"no claims":              good.signed(parts[0], encoded(t, nil)), "a list": good.signed(parts[0], base64.RawURLEncoding.EncodeToString([]byte("[]"))),
			"bytes after the claims": good.signed(parts[0], base64.RawURLEncoding.EncodeToString([]byte(`{} {}`))),
		})
	})
}

// publicKeyIsNoSecret signs with what everybody knows of a key.
func publicKeyIsNoSecret(t *testing.T, algorithm string) {
	t.Helper()
	e := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), TokenAlgorithm: algorithm})
	key, _, err := e.CreateClientKey(t.Context(), engine.ClientKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := as(t, e, key).IssueTokens(t.Context(), authz.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := e.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range forgeries(t, issued.AccessToken, set) {
		if _, err := e.Authenticate(t.Context(), token, engine.Actor{}); !errors.Is(err, engine.ErrUnauthenticated) {
			t.Errorf("%s: %s: got error %v, want ErrUnauthenticated", algorithm, what, err)
		}
	}
	as(t, e, issued.AccessToken)
}

func encodedValue(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return " " + string(text)
}

// TestEveryKindOfTokenAtEveryPlace shows what each place takes: one kind, and nothing
// else, even where one secret signs all of them.
func TestEveryKindOfTokenAtEveryPlace(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{TokenSecret: sharedSecret}, func(s tokenServers) {
		t, ctx := s.t, s.t.Context()
		tenant := s.here.Tenant(s.info.Tenant)
		tokens := s.issue(authz.TokenRequest{Subject: "alice"})
		kinds := map[string]string{
			"client key": s.key, "access token": tokens.AccessToken, "refresh token": tokens.RefreshToken, "session token": signIn(t, tenant, "alice").Token,
		}
		places := map[string]struct {
			kinds []string
			takes func(token string) bool
		}{
			"bearer": {[]string{"client key", "access token"}, func(token string) bool {
				_, err := s.there.Authenticate(ctx, token, engine.Actor{})
				return err == nil
			}},
			"bearer of the token endpoints": {[]string{"client key"}, func(token string) bool {
				p, err := s.there.Authenticate(ctx, token, engine.Actor{})
				if err == nil {
					_, err = p.IntrospectToken(ctx, "")
				}
				return err == nil
			}},
			"introspection": {[]string{"access token", "refresh token"}, func(token string) bool {
				info, err := as(t, s.there, s.key).IntrospectToken(ctx, token)
				return err == nil && info.Active
			}},
			"session verification": {[]string{"session token"}, func(token string) bool {
				status, err := tenant.VerifySession(ctx, from(home, token))
				return err == nil && status.Active
			}},
			"session rotation": {[]string{"session token"}, func(token string) bool {
				_, err := tenant.RotateSession(ctx, from(home, token))
				return err == nil
			}},
			"the tenant of a session": {[]string{"session token"}, func(token string) bool {
				_, err := s.there.TenantOfSession(ctx, token)
				return err == nil
			}},
			"refresh": {[]string{"refresh token"}, func(token string) bool {
				_, err := as(t, s.there, s.key).RefreshTokens(ctx, token, nil)
				return err == nil
			}},
		}
		// The refresh comes last, for it supersedes the token.
		for _, place := range []string{
			"bearer", "bearer of the token endpoints", "introspection", "session verification", "session rotation", "the tenant of a session", "refresh",
		} {
			for kind, token := range kinds {
				want := false
				for _, taken := range places[place].kinds {
					want = want || taken == kind
				}
				if got := places[place].takes(token); got != want {
					t.Errorf("%s as %s: taken %t, want %t", kind, place, got, want)
				}
			}
		}
	})
}

// FuzzAccessTokens changes a good token in whatever way: only the same is taken.
func FuzzAccessTokens(f *testing.F) {
	e, err := engine.Open(f.Context(), engine.Config{Database: filepath.Join(f.TempDir(), "gatehouse.sqlite3"), TokenSecret: sharedSecret,
		Now: contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)).Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = e.Close() })
	key, _, err := e.CreateClientKey(f.Context(), engine.ClientKeyOptions{})
	if err != nil {
		f.Fatal(err)
	}
	p, err := e.Authenticate(f.Context(), key, engine.Actor{})
	if err != nil {
		f.Fatal(err)
	}
	issued, err := p.IssueTokens(f.Context(), authz.TokenRequest{Subject: "alice"})
	if err != nil {
		f.Fatal(err)
	}
	good := issued.AccessToken
	f.Add(0, "", 0)
	f.Add(10, "A", 1)
	f.Add(len(good), "=", 0)
	f.Add(strings.Index(good, "."), ".", 1)
	f.Add(0, "eyJhbGciOiJub25lIn0.e30.", len(good))
	f.Fuzz(func(t *testing.T, at int, replacement string, cut int) {
		at = min(max(at, 0), len(good))
		cut = min(max(cut, 0), len(good)-at)
		token := good[:at] + replacement + good[at+cut:]
		_, err := e.Authenticate(t.Context(), token, engine.Actor{})
		if token == good != (err == nil) || err != nil && !errors.Is(err, engine.ErrUnauthenticated) {
			t.Errorf("%q: got error %v", token, err)
		}
	})
}
