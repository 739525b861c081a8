package session_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/signing"
)

const issuer = "https://gatehouse.example"

// ring is a set of one key for each algorithm, with what they are made of.
type ring struct {
	keys *signing.Keys
	made map[string]made // by algorithm
}

type made struct {
	id      string
	private any // []byte for HMAC
}

// signers are one set for each algorithm that signs by it, and knows the keys of all.
func signers(t testing.TB) map[string]ring {
	t.Helper()
	rings, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return rings
}

var shared = sync.OnceValues(newSigners)

func newSigners() (map[string]ring, error) {
	algorithms := []string{signing.HS256, signing.RS256, signing.ES256, signing.EdDSA}
	all := map[string]made{}
	material := map[string]string{}
	for _, algorithm := range algorithms {
		id, text, err := signing.Generate(algorithm)
		if err != nil {
			return nil, err
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		var private any = der
		if algorithm != signing.HS256 {
			if private, err = x509.ParsePKCS8PrivateKey(der); err != nil {
				return nil, err
			}
		}
		all[algorithm], material[algorithm] = made{id: id, private: private}, text
	}
	rings := map[string]ring{}
	for _, signs := range algorithms {
		var keys []signing.Key
		for _, algorithm := range algorithms {
			from := start.Add(-time.Hour)
			if algorithm != signs {
				from = start.Add(time.Hour)
			}
			key, err := signing.Load(all[algorithm].id, algorithm, material[algorithm], from)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
		rings[signs] = ring{keys: signing.NewKeys(keys), made: all}
	}
	return rings, nil
}

func claimsOf(generation int64) session.Claims {
	return session.ClaimsOf("acme", with(func(r *session.Row) { r.Generation = generation }))
}

func mustSign(t testing.TB, keys *signing.Keys) string {
	t.Helper()
	token, err := session.Sign(keys, issuer, claimsOf(5), start)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenSaysWhatTheRowSays(t *testing.T) {
	t.Parallel()
	for algorithm, ring := range signers(t) {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			row := with(func(r *session.Row) { r.RotatedAt = r.RotatedAt.Add(90*time.Second + 999*time.Millisecond) })
			want := session.Claims{
				Tenant: "acme", User: "ann", Session: "s", Generation: 5,
				IssuedAt: start.Add(-time.Hour + 90*time.Second), ExpiresAt: start.Add(11 * time.Hour),
			}
			if got := session.ClaimsOf("acme", row); got != want {
				t.Fatalf("claims: got %+v, want %+v", got, want)
			}
			token, err := session.Sign(ring.keys, issuer, want, start)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := session.Parse(ring.keys, issuer, token); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			header, body := part(t, token, 0), part(t, token, 1)
			wantHeader := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"session+jwt"}`, algorithm, ring.made[algorithm].id)
			if header != wantHeader {
				t.Errorf("header: got %s, want %s", header, wantHeader)
			}
			const wantBody = `{"iss":"https://gatehouse.example","sub":"ann","exp":1795377600,"iat":1795334490,"aud":"acme","sid":"s","gen":5}`
			if body != wantBody {
				t.Errorf("claims: got %s, want %s", body, wantBody)
			}
		})
	}
}

func part(t *testing.T, token string, i int) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLongestNamesFit signs for the names that take the most room.
func TestLongestNamesFit(t *testing.T) {
	t.Parallel()
	row := session.Row{ID: strings.Repeat("i", 36), Generation: 1<<63 - 1, RotatedAt: start, IdleExpiresAt: start}
	for algorithm, ring := range signers(t) {
		for _, text := range []string{`"`, `\`, "<", "&", "é", "\u2028", "x"} {
			name := strings.Repeat(text, authz.MaxID/len(text))
			row.User = name
			want := session.ClaimsOf(name, row)
			token, err := session.Sign(ring.keys, strings.Repeat("u", 48), want, start)
			if err != nil {
				t.Errorf("%s: names of %q: %v", algorithm, text, err)
				continue
			}
			if got, err := session.Parse(ring.keys, strings.Repeat("u", 48), token); err != nil || got != want {
				t.Errorf("%s: names of %q: got %+v, %v", algorithm, text, got, err)
			}
		}
	}
	row.User = strings.Repeat("u", signing.MaxToken)
	for algorithm, ring := range signers(t) {
		if token, err := session.Sign(ring.keys, issuer, session.ClaimsOf("acme", row), start); err == nil {
			t.Errorf("%s: signed a token of %d bytes", algorithm, len(token))
		}
	}
}

// TestExpiredTokenIsRead, for the row decides.
func TestExpiredTokenIsRead(t *testing.T) {
	t.Parallel()
	keys := signers(t)[signing.HS256].keys
	claims := claimsOf(5)
	claims.IssuedAt, claims.ExpiresAt = time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC()
	token, err := session.Sign(keys, issuer, claims, start)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := session.Parse(keys, issuer, token); err != nil || got != claims {
		t.Errorf("got %+v, %v, want %+v", got, err, claims)
	}
}

func TestUnknownKeyIsFoundBeneath(t *testing.T) {
	t.Parallel()
	others, err := newSigners()
	if err != nil {
		t.Fatal(err)
	}
	token := mustSign(t, others[signing.ES256].keys)
	_, err = session.Parse(signers(t)[signing.ES256].keys, issuer, token)
	if !errors.Is(err, authz.ErrInvalidToken) || !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("got %v, want both %v and %v", err, authz.ErrInvalidToken, signing.ErrUnknownKey)
	}
}

// refused checks that a token is not taken, and that its key is not looked for either
// unless wantUnknown.
func refused(t *testing.T, keys *signing.Keys, name, token string, wantUnknown bool) {
	t.Helper()
	got, err := session.Parse(keys, issuer, token)
	if !errors.Is(err, authz.ErrInvalidToken) || got != (session.Claims{}) {
		t.Errorf("%s: got %+v, %v, want %v", name, got, err, authz.ErrInvalidToken)
	}
	if unknown := errors.Is(err, signing.ErrUnknownKey); unknown != wantUnknown {
		t.Errorf("%s: got %v, that of an unknown key: %v", name, err, unknown)
	}
}

const goodBody = `{"iss":"https://gatehouse.example","sub":"ann","exp":1795377600,"iat":1795334400,"aud":"acme","sid":"s","gen":5}`

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forge signs whatever header and claims with a key by an algorithm.
func forge(t *testing.T, header, body, algorithm string, key any) string {
	t.Helper()
	signed := encode(header) + "." + encode(body)
	signature, err := jwt.GetSigningMethod(algorithm).Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func header(algorithm, kid string) string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"session+jwt"}`, algorithm, kid)
}

func TestForgeryIsRight(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	for algorithm, key := range ring.made {
		token := forge(t, header(algorithm, key.id), goodBody, algorithm, key.private)
		if _, err := session.Parse(ring.keys, issuer, token); err != nil {
			t.Errorf("%s: the tests below would prove nothing: %v", algorithm, err)
		}
	}
}

func TestAlgNoneIsRefused(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	for spelling := range 16 {
		name := []byte("none")
		for i := range name {
			if spelling>>i&1 == 1 {
				name[i] -= 'a' - 'A'
			}
		}
		for algorithm, key := range ring.made {
			unsigned := encode(header(string(name), key.id)) + "." + encode(goodBody) + "."
			refused(t, ring.keys, fmt.Sprintf("%s with the key of %s", name, algorithm), unsigned, false)
			refused(t, ring.keys, fmt.Sprintf("%s with the key of %s, signed", name, algorithm), unsigned+encode(strings.Repeat("s", 32)), false)
		}
	}
	for _, alg := range []string{`""`, `null`, `0`, `["HS256"]`, `"none "`, `"\u006eone"`} {
		text := fmt.Sprintf(`{"alg":%s,"kid":"%s","typ":"session+jwt"}`, alg, ring.made[signing.HS256].id)
		refused(t, ring.keys, "alg "+alg, encode(text)+"."+encode(goodBody)+".", false)
		refused(t, ring.keys, "alg "+alg+", signed", forge(t, text, goodBody, signing.HS256, ring.made[signing.HS256].private), false)
	}
}

// TestAlgorithmIsTheKeys signs by every algorithm under the kid of every other, and by
// HMAC with what everybody knows of a public key.
func TestAlgorithmIsTheKeys(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.RS256]
	for algorithm, key := range ring.made {
		for other, of := range ring.made {
			if other != algorithm {
				refused(t, ring.keys, algorithm+" under the kid of "+other, forge(t, header(algorithm, of.id), goodBody, algorithm, key.private), false)
				refused(t, ring.keys, algorithm+" called "+other, forge(t, header(other, key.id), goodBody, algorithm, key.private), false)
				refused(t, ring.keys, algorithm+" called "+other+" under its kid", forge(t, header(other, of.id), goodBody, algorithm, key.private), false)
			}
		}
		if pair, ok := key.private.(crypto.Signer); ok {
			for form, secret := range public(t, pair) {
				for _, alg := range []string{"HS256", "HS384", "HS512"} {
					refused(t, ring.keys, alg+" with the public key of "+algorithm+" as "+form, forge(t, header(alg, key.id), goodBody, alg, secret), false)
				}
				refused(t, ring.keys, "HS256 called "+algorithm+" with the public key as "+form, forge(t, header(algorithm, key.id), goodBody, "HS256", secret), false)
				refused(t, ring.keys, "HS256 with the public key of "+algorithm+" under the HMAC kid", forge(t, header("HS256", ring.made[signing.HS256].id), goodBody, "HS256", secret), false)
			}
		}
	}
	// Right keys by algorithms that they would serve as well.
	hmacKey, rsaKey := ring.made[signing.HS256], ring.made[signing.RS256]
	refused(t, ring.keys, "HS512", forge(t, header("HS512", hmacKey.id), goodBody, "HS512", hmacKey.private), false)
	refused(t, ring.keys, "RS512", forge(t, header("RS512", rsaKey.id), goodBody, "RS512", rsaKey.private), false)
	refused(t, ring.keys, "PS256", forge(t, header("PS256", rsaKey.id), goodBody, "PS256", rsaKey.private), false)
	refused(t, ring.keys, "no HMAC key", forge(t, header("HS256", hmacKey.id), goodBody, "HS256", []byte{}), false)
}

// public is a public key in the forms that it may be known in.
func public(t *testing.T, pair crypto.Signer) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pair.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(pair.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	forms := map[string][]byte{"DER": der, "PEM": block, "PEM without its last line break": bytes.TrimSpace(block), "JSON": text}
	if key, ok := pair.Public().(*ecdsa.PublicKey); ok {
		if forms["point"], err = key.Bytes(); err != nil {
			t.Fatal(err)
		}
	}
	return forms
}

func TestKidIsNothingButAName(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	right := ring.made[signing.HS256]
	kids := map[string]bool{ // whether the key is looked for
		"":                                 false,
		".":                                false,
		"../../dev/null":                   false,
		"../../../../dev/null/aa":          false,
		"/dev/null":                        false,
		"' OR '1'='1":                      false,
		"x' UNION SELECT 'AA'; --":         false,
		"'; DROP TABLE users; --":          false,
		"\x00":                             false,
		right.id + "\x00":                  false,
		right.id + "\n":                    false,
		right.id[:21]:                      false,
		right.id[:21] + "\n":               false,
		right.id[:20] + "\n\n":             false,
		right.id[:8] + "\n" + right.id[8:]: false,
		right.id + "A":                     false,
		right.id + "==":                    false,
		strings.Repeat("A", 64):            false,
		strings.Repeat("A", 65):            false,
		strings.Repeat("A", 1000):          false,
		"AAAAAAAAAAAAAAAAAAAAAB":           false, // bits left over
		"AAAAAAAAAAAAAAAAAAAA+/":           false, // the other base64
		"AAAAAAAAAAAAAAAAAAAAAA":           true,
		"__________________-__w":           true,
	}
	for kid, unknown := range kids {
		for _, key := range [][]byte{right.private.([]byte), {}, {0}, []byte("AA")} {
			quoted, err := json.Marshal(kid)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf(`{"alg":"HS256","kid":%s,"typ":"session+jwt"}`, quoted)
			refused(t, ring.keys, fmt.Sprintf("kid %.80q", kid), forge(t, text, goodBody, signing.HS256, key), unknown)
		}
	}
	for _, kid := range []string{`null`, `0`, `true`, `["` + right.id + `"]`, `{"kid":"` + right.id + `"}`} {
		text := fmt.Sprintf(`{"alg":"HS256","kid":%s,"typ":"session+jwt"}`, kid)
		refused(t, ring.keys, "kid "+kid, forge(t, text, goodBody, signing.HS256, right.private), false)
	}
	text := fmt.Sprintf(`{"alg":"HS256","kid":%q,"typ":"session+jwt"}`, strings.Repeat("A", 10_000))
	refused(t, ring.keys, "kid of 10 kB", forge(t, text, goodBody, signing.HS256, right.private), false)
}

// TestHeaderOfAnotherForm signs headers with the right key that Sign would not write.
func TestHeaderOfAnotherForm(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	right := ring.made[signing.HS256]
	for _, text := range []string{
		`{"alg":"HS256","kid":"ID"}`,
		`{"alg":"HS256","kid":"ID","typ":""}`,
		`{"alg":"HS256","kid":"ID","typ":null}`,
		`{"alg":"HS256","kid":"ID","typ":"JWT"}`,
		`{"alg":"HS256","kid":"ID","typ":"at+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"Session+JWT"}`,
		`{"alg":"HS256","kid":"ID","typ":"application/session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":["session+jwt"]}`,
		`{"alg":"HS256","typ":"session+jwt"}`,
		`{"kid":"ID","typ":"session+jwt"}`,
		`{"alg":"none","alg":"HS256","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS256","alg":"none","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"../x","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"at+jwt","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","crit":["exp"],"exp":1}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","crit":[]}`,
		`{"alg":"HS256","crit":["b64"],"b64":false,"kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","jku":"https://evil.example/jwks.json"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","x5u":"https://evil.example/x.pem"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","jwk":{"kty":"oct","k":"AAAA"}}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","cty":"JWT"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt","zip":"DEF"}`,
		`{"typ":"session+jwt","alg":"HS256","kid":"ID"}`,
		`{"alg":"HS256", "kid":"ID","typ":"session+jwt"}`,
		` {"alg":"HS256","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS256","kid":"ID","typ":"session+jwt"} `,
		`{"ALG":"HS256","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"HS\u0032\u0035\u0036","kid":"ID","typ":"session+jwt"}`,
		`{"alg":"hs256","kid":"ID","typ":"session+jwt"}`,
		`{}`, `[]`, `null`, `"HS256"`, `0`, ``, `{`, `{"alg":"HS256"`,
		strings.Repeat(`{"alg":`, 150),
	} {
		token := forge(t, strings.ReplaceAll(text, "ID", right.id), goodBody, signing.HS256, right.private)
		refused(t, ring.keys, "header "+text, token, false)
	}
	// A key that the token brings along.
	others, err := newSigners()
	if err != nil {
		t.Fatal(err)
	}
	pair := others[signing.EdDSA].made[signing.EdDSA]
	x, err := json.Marshal(pair.private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{pair.id, ring.made[signing.EdDSA].id} {
		text := fmt.Sprintf(`{"alg":"EdDSA","jwk":{"crv":"Ed25519","kty":"OKP","x":%s},"kid":%q,"typ":"session+jwt"}`, x, id)
		refused(t, ring.keys, "jwk under kid "+id, forge(t, text, goodBody, signing.EdDSA, pair.private), id == pair.id)
	}
}

// TestClaimsOfAnotherForm signs claims with the right key that Sign would not write.
func TestClaimsOfAnotherForm(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	right := ring.made[signing.HS256]
	replace := func(old, new string) string {
		t.Helper()
		if !strings.Contains(goodBody, old) {
			t.Fatalf("no %s in %s", old, goodBody)
		}
		return strings.Replace(goodBody, old, new, 1)
	}
	for _, body := range []string{
		replace(`"aud":"acme"`, `"aud":["acme"]`),
		replace(`"aud":"acme"`, `"aud":["acme","other"]`),
		replace(`"aud":"acme"`, `"aud":[]`),
		replace(`"aud":"acme"`, `"aud":""`),
		replace(`"aud":"acme"`, `"aud":null`),
		replace(`"aud":"acme"`, `"aud":7`),
		replace(`"aud":"acme",`, ``),
		replace(`"iss":"https://gatehouse.example"`, `"iss":"https://evil.example"`),
		replace(`"iss":"https://gatehouse.example"`, `"iss":"https://gatehouse.example/"`),
		replace(`"iss":"https://gatehouse.example"`, `"iss":""`),
		replace(`"iss":"https://gatehouse.example"`, `"iss":["https://gatehouse.example"]`),
		replace(`"iss":"https://gatehouse.example",`, ``),
		replace(`"sub":"ann"`, `"sub":""`),
		replace(`"sub":"ann",`, ``),
		replace(`"sid":"s"`, `"sid":""`),
		replace(`"sid":"s"`, `"sid":null`),
		replace(`"sid":"s"`, `"sid":1`),
		replace(`"sid":"s",`, ``),
		replace(`"gen":5`, `"gen":0`),
		replace(`"gen":5`, `"gen":-1`),
		replace(`"gen":5`, `"gen":-9223372036854775808`),
		replace(`"gen":5`, `"gen":9223372036854775808`),
		replace(`"gen":5`, `"gen":1e30`),
		replace(`"gen":5`, `"gen":5.5`),
		replace(`"gen":5`, `"gen":5.0`),
		replace(`"gen":5`, `"gen":5e0`),
		replace(`"gen":5`, `"gen":"5"`),
		replace(`"gen":5`, `"gen":null`),
		replace(`"gen":5`, `"gen":true`),
		replace(`,"gen":5`, ``),
		replace(`"exp":1795377600,`, ``),
		replace(`"exp":1795377600`, `"exp":null`),
		replace(`"exp":1795377600`, `"exp":"1795377600x"`),
		replace(`"iat":1795334400,`, ``),
		replace(`"iat":1795334400`, `"iat":[]`),
		goodBody + `{}`, goodBody + `x`, `{}`, `[]`, `null`, `0`, ``, `{`,
	} {
		refused(t, ring.keys, "claims "+body, forge(t, header(signing.HS256, right.id), body, signing.HS256, right.private), false)
	}
	// Times of any size are read without harm: the row decides.
	for _, exp := range []string{`0`, `-1`, `1e300`, `-1e300`, `9223372036854775807`, `1.5`} {
		token := forge(t, header(signing.HS256, right.id), replace(`"exp":1795377600`, `"exp":`+exp), signing.HS256, right.private)
		if _, err := session.Parse(ring.keys, issuer, token); err != nil {
			t.Errorf("exp %s: %v", exp, err)
		}
	}
}

func TestTokenOfAnotherForm(t *testing.T) {
	t.Parallel()
	for algorithm, ring := range signers(t) {
		token := mustSign(t, ring.keys)
		parts := strings.Split(token, ".")
		for name, other := range map[string]string{
			"nothing":                       "",
			"one part":                      parts[0],
			"two parts":                     parts[0] + "." + parts[1],
			"no signature":                  parts[0] + "." + parts[1] + ".",
			"four parts":                    token + ".",
			"five parts, as if encrypted":   token + "." + parts[0] + "." + parts[1],
			"a space before":                " " + token,
			"a space after":                 token + " ",
			"a line break after":            token + "\n",
			"a carriage return after":       token + "\r",
			"a line break in the signature": parts[0] + "." + parts[1] + "." + parts[2][:4] + "\n" + parts[2][4:],
			"a line break in the header":    parts[0][:4] + "\n" + parts[0][4:] + "." + parts[1] + "." + parts[2],
			"padding":                       token + "=",
			"more padding":                  token + "==",
			"a scheme":                      "Bearer " + token,
			"JSON":                          fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
			"too long":                      strings.Repeat("a", signing.MaxToken+1),
			"dots":                          strings.Repeat(".", signing.MaxToken),
			"a megabyte":                    token + strings.Repeat("A", 1<<20),
			"an empty body":                 parts[0] + ".." + parts[2],
			"no bytes of UTF-8":             "\xff\xfe." + parts[1] + "." + parts[2],
		} {
			refused(t, ring.keys, algorithm+": "+name, other, false)
		}
	}
}

// TestEveryByteCounts changes each byte of a token in every way that leaves it a byte
// of a token, and in some others.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/=\n\x00"
	for algorithm, ring := range signers(t) {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			token := mustSign(t, ring.keys)
			for i := range token {
				// All of the alphabet by HMAC, which is fast.
				others := []byte{token[i] ^ 1, token[i] ^ 2, token[i] ^ 0x80, alphabet[i%len(alphabet)]}
				if algorithm == signing.HS256 {
					others = []byte(alphabet)
				}
				for _, other := range others {
					if other == token[i] {
						continue
					}
					changed := token[:i] + string([]byte{other}) + token[i+1:]
					if got, err := session.Parse(ring.keys, issuer, changed); !errors.Is(err, authz.ErrInvalidToken) {
						t.Fatalf("byte %d changed to %q: got %+v, %v", i, other, got, err)
					}
				}
				cut := token[:i] + token[i+1:]
				if got, err := session.Parse(ring.keys, issuer, cut); !errors.Is(err, authz.ErrInvalidToken) {
					t.Fatalf("byte %d cut out: got %+v, %v", i, got, err)
				}
			}
		})
	}
}

// TestRandomTokens presents tokens of random bytes in random places.
func TestRandomTokens(t *testing.T) {
	t.Parallel()
	ring := signers(t)[signing.HS256]
	random := rand.New(rand.NewPCG(6, 6))
	token := mustSign(t, ring.keys)
	parts := strings.Split(token, ".")
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	for i := range 1_000_000 {
		var text string
		switch i % 5 {
		case 0:
			text = noise(random.IntN(200))
		case 1:
			text = encode(noise(random.IntN(90))) + "." + encode(noise(random.IntN(120))) + "." + encode(noise(32))
		case 2:
			text = parts[0] + "." + parts[1] + "." + encode(noise(32))
		case 3:
			text = parts[0] + "." + encode(noise(random.IntN(120))) + "." + parts[2]
		case 4:
			key := []byte(noise(32))
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(parts[0] + "." + parts[1]))
			text = parts[0] + "." + parts[1] + "." + encode(string(mac.Sum(nil)))
		}
		if got, err := session.Parse(ring.keys, issuer, text); !errors.Is(err, authz.ErrInvalidToken) || errors.Is(err, signing.ErrUnknownKey) {
			t.Fatalf("%q: got %+v, %v", text, got, err)
		}
	}
}

// FuzzParse looks for a token that is taken though nobody signed it.
func FuzzParse(f *testing.F) {
	id := "AAAAAAAAAAAAAAAAAAAAAA"
	key, err := signing.Load(id, signing.HS256, base64.StdEncoding.EncodeToString(make([]byte, 32)), time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	keys := signing.NewKeys([]signing.Key{key})
	token := mustSign(f, keys)
	f.Add(token)
	f.Add(encode(header("none", id)) + "." + encode(goodBody) + ".")
	f.Add(encode(header("HS256", id)) + "." + encode(`{"aud":["acme"],"gen":1e30}`) + "." + encode("x"))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := session.Parse(keys, issuer, text)
		if text == token {
			if err != nil {
				t.Fatalf("the only token that was signed: %v", err)
			}
			return
		}
		if !errors.Is(err, authz.ErrInvalidToken) || got != (session.Claims{}) {
			t.Fatalf("%q: got %+v, %v", text, got, err)
		}
	})
}
