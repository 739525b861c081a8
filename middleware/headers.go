package middleware

import (
	"maps"
	"net/http"
	"slices"
)

// SecureHeaders sets security headers, which a handler can change for its own answer:
//
//	Content-Security-Policy       default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'
//	Cross-Origin-Opener-Policy    same-origin
//	Cross-Origin-Resource-Policy  same-origin
//	Referrer-Policy               strict-origin-when-cross-origin
//	Strict-Transport-Security     max-age=63072000; includeSubDomains
//	X-Content-Type-Options        nosniff
//	X-Frame-Options               DENY
//
// Config.Headers changes them for all.
func (g *Gate) SecureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		for _, h := range g.headers {
			header.Set(h[0], h[1])
		}
		next.ServeHTTP(w, r)
	})
}

// securityHeaders are the headers that every answer gets, as names and values.
func securityHeaders(changes map[string]string) [][2]string {
	headers := map[string]string{
		"Content-Security-Policy":      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "strict-origin-when-cross-origin",
		"Strict-Transport-Security":    "max-age=63072000; includeSubDomains",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
	}
	for name, value := range changes {
		headers[http.CanonicalHeaderKey(name)] = value
	}
	var set [][2]string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if value := headers[name]; value != "" {
			set = append(set, [2]string{name, value})
		}
	}
	return set
}
