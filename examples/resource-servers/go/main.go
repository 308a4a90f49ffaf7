// ISSUER=http://127.0.0.1:8080 go run .
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"jotgate.example/resource-server/jotgatefeed"
)

var (
	ctx, issuer   = context.Background(), os.Getenv("ISSUER")
	staleAfter, _ = time.ParseDuration(cmp.Or(os.Getenv("STALE_AFTER"), "60") + "s")
	feed          = must(jotgatefeed.Follow(ctx, issuer, staleAfter))
	// Asked for every five minutes, and for unknown keys, for these once in that time at most.
	fetch  = keyfunc.Override{RefreshInterval: 5 * time.Minute, RateLimitWaitMax: 5 * time.Second}
	keys   = must(keyfunc.NewDefaultOverrideCtx(ctx, []string{must(feed.JWKSURI(ctx))}, fetch))
	good   = jwt.WithValidMethods([]string{"ES256", "ES384", "RS256", "PS256", "EdDSA"})
	forUs  = jwt.WithAudience(cmp.Or(os.Getenv("AUDIENCE"), issuer))
	parser = jwt.NewParser(good, forUs, jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithLeeway(5*time.Second))
)

// verify gives the claims of a token that is the issuer's, for this server, in time and not revoked.
func verify(text string) (claims jwt.MapClaims, err error) {
	token, err := parser.ParseWithClaims(text, &claims, keys.Keyfunc)
	missing := func(name string) bool { return claims[name] == nil }
	required := []string{"iat", "sub", "client_id", "jti"}
	if err != nil || token.Header["typ"] != "at+jwt" || token.Header["crit"] != nil || slices.ContainsFunc(required, missing) {
		return nil, errors.Join(jwt.ErrTokenUnverifiable, err)
	}
	return claims, feed.Check(claims, token.Header["kid"])
}

// guard lets through whose token is good and, where a role is asked for, has it.
func guard(role string, serve func(claims jwt.MapClaims) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, shown := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		claims, err := verify(token)
		roles, _ := claims["roles"].([]any)
		if errors.Is(err, jotgatefeed.ErrStale) { // nothing can be called good
			w.WriteHeader(http.StatusServiceUnavailable)
		} else if !shown || err != nil {
			w.Header().Set("WWW-Authenticate", map[bool]string{false: "Bearer", true: `Bearer error="invalid_token"`}[shown])
			w.WriteHeader(http.StatusUnauthorized)
		} else if role != "" && !slices.Contains(roles, any(role)) {
			w.WriteHeader(http.StatusForbidden)
		} else {
			json.NewEncoder(w).Encode(serve(claims))
		}
	}
}

func main() {
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(feed.State()) })
	http.HandleFunc("GET /notes", guard("", func(claims jwt.MapClaims) any { return claims["preferred_username"] }))
	http.HandleFunc("DELETE /notes", guard("editor", func(claims jwt.MapClaims) any { return claims["sub"] }))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"), nil))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
