// A resource server as one writes it in Go: net/http, and golang-jwt that verifies each token offline.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const issuer, audience = "https://login.example.com", "https://api.example.com"

type claims struct {
	jwt.RegisteredClaims
	ClientID string   `json:"client_id"`
	Scope    string   `json:"scope"`
	Session  string   `json:"sid"`
	Username string   `json:"preferred_username"`
	Roles    []string `json:"roles"`
}

func main() {
	// ES256, as Jotgate.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	users, err := strconv.Atoi(os.Getenv("BENCH_USERS"))
	if err != nil {
		log.Fatal(err)
	}
	var seed struct {
		Me      []string `json:"me"`
		Refresh []string `json:"refresh"`
	}
	seed.Refresh = []string{}
	for user := range users {
		now := time.Now()
		token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer:    issuer,
				Subject:   fmt.Sprintf("019ac3f2-a7d4-7c1e-8000-%012d", user),
				Audience:  jwt.ClaimStrings{audience},
				ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
				IssuedAt:  jwt.NewNumericDate(now),
				ID:        fmt.Sprintf("019ac3f2-a7d4-7c1e-8001-%012d", user),
			},
			ClientID: "jotgate", Scope: "account", Username: fmt.Sprintf("user-%d", user),
			Session: "019ac3f2-a7d4-7c1e-8000-000000000002", Roles: []string{"editor"},
		}).SignedString(key)
		if err != nil {
			log.Fatal(err)
		}
		seed.Me = append(seed.Me, token)
	}
	text, err := json.Marshal(seed)
	if err == nil {
		err = os.WriteFile("seed.json", text, 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}

	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
	)
	public := func(*jwt.Token) (any, error) { return &key.PublicKey, nil }
	http.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var who claims
		if _, err := parser.ParseWithClaims(token, &who, public); !found || err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"sub": who.Subject, "username": who.Username})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
