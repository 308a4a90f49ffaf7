// What the follower makes of what an issuer says, word for word: `go test`. The issuer here says what a test wants.
// SPDX-License-Identifier: Apache-2.0 OR MIT
package jotgatefeed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

const later = 4_000_000_000

type object map[string]any

func now() int64 { return time.Now().Unix() }

func token(idx int) map[string]any {
	list := map[string]any{"uri": "https://id.example/status/0", "idx": float64(idx)}
	return map[string]any{"status": map[string]any{"status_list": list}}
}

func revoked(idx int, until int64) object {
	return object{"uri": "https://id.example/status/0", "idx": idx, "until": until}
}

func event(name string, data object, id string) string {
	text, _ := json.Marshal(data)
	if id != "" {
		id = "id: " + id + "\n"
	}
	return fmt.Sprintf("event: %s\n%sdata: %s\n\n", name, id, text)
}

func alive() string { return event("alive", object{"as_of": now()}, "") }

// stream is what one says, and whether it ends then.
type stream struct {
	said string
	ends bool
}

// saying answers with each of its pages and streams once, in their order; then with nothing new.
type saying struct {
	url     string
	mutex   sync.Mutex
	pages   []object
	streams []stream
	asked   []string
}

func (s *saying) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == metadataPath {
		json.NewEncoder(typed(writer, "application/json")).Encode(
			object{"issuer": s.url, "jwks_uri": s.url + "/keys", "revocation_feed_endpoint": s.url + "/feed"})
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if request.Header.Get("Accept") == "text/event-stream" {
		s.asked = append(s.asked, "stream "+request.URL.Query().Get("since"))
		said := stream{said: alive()}
		if len(s.streams) > 0 {
			said, s.streams = s.streams[0], s.streams[1:]
		}
		fmt.Fprint(typed(writer, "text/event-stream"), said.said)
		writer.(http.Flusher).Flush()
		if !said.ends {
			s.mutex.Unlock()
			<-request.Context().Done()
			s.mutex.Lock()
		}
		return
	}
	s.asked = append(s.asked, "page "+request.URL.Query().Get("since"))
	page := object{"cursor": "c", "as_of": now(), "reset": false, "more": false, "entries": []object{}}
	if len(s.pages) > 0 {
		for name, value := range s.pages[0] {
			page[name] = value
		}
		s.pages = s.pages[1:]
	}
	json.NewEncoder(typed(writer, "application/json")).Encode(page)
}

func typed(writer http.ResponseWriter, kind string) http.ResponseWriter {
	writer.Header().Set("Content-Type", kind)
	return writer
}

func (s *saying) heard() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.asked)
}

func follow(t *testing.T, said *saying) (*Feed, *httptest.Server) {
	server := httptest.NewServer(said)
	said.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(cancel)
	feed, err := Follow(ctx, server.URL, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return feed, server
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for range 500 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("never")
}

func expect(t *testing.T, feed *Feed, claims map[string]any, kid any, expected error) {
	t.Helper()
	if err := feed.Check(claims, kid); !errors.Is(err, expected) {
		t.Fatalf("%v, %v: %v, not %v", claims, kid, err, expected)
	}
}

func TestPagesAreReadToTheirEndAndAnEntryOfAKindToComeIsPassedOver(t *testing.T) {
	said := &saying{pages: []object{
		{"cursor": "first", "more": true, "entries": []object{revoked(1, later), {"shape": "new"}}},
		{"cursor": "second", "entries": []object{{"kid": "old", "until": later}}},
	}}
	feed, _ := follow(t, said)
	until(t, func() bool { return feed.State().Fresh })
	if asked := said.heard()[:2]; !slices.Equal(asked, []string{"page ", "page first"}) {
		t.Fatal(asked)
	}
	expect(t, feed, token(1), "k", ErrRevoked)
	expect(t, feed, token(2), "old", ErrRevoked)
	expect(t, feed, token(2), nil, ErrRevoked)
	expect(t, feed, map[string]any{"status": "x"}, "k", ErrRevoked)
	expect(t, feed, token(2), "k", nil)
	expect(t, feed, map[string]any{}, "k", nil)
}

func TestHalfAnEntryFailsThePage(t *testing.T) {
	half := []object{
		{"uri": "https://id.example/status/0", "idx": "1", "until": later},
		{"uri": "x", "until": 1},
		{"uri": "https://id.example/status/0", "idx": 1},
		{"uri": "https://id.example/status/0", "idx": 1, "kid": "k", "until": later},
	}
	said := &saying{}
	for _, one := range half {
		said.pages = append(said.pages, object{"entries": []object{revoked(7, later), one}})
	}
	feed, _ := follow(t, said)
	for failed := range half {
		until(t, func() bool { return len(said.heard()) > failed })
		expect(t, feed, token(7), "k", ErrStale)
	}
	until(t, func() bool { return feed.State().Fresh })
	expect(t, feed, token(7), "k", nil)
}

func TestWhatTheStreamTellsCountsAtOnceAndOnceInWhateverOrderItComes(t *testing.T) {
	told := alive() + event("other", object{}, "") + event("revoked", revoked(2, later), "") +
		event("revoked", revoked(1, later), "") + event("revoked", revoked(2, now()+9), "")
	feed, _ := follow(t, &saying{streams: []stream{{said: told}}})
	until(t, func() bool { return feed.State().Streaming && feed.State().Entries == 2 })
	expect(t, feed, token(1), "k", ErrRevoked)
	expect(t, feed, token(2), "k", ErrRevoked)
	expect(t, feed, token(3), "k", nil)
}

func TestAStreamThatEndedGoesOnAtItsCursorAndAResetBeginsAnew(t *testing.T) {
	said := &saying{
		pages: []object{
			{"cursor": "a", "entries": []object{revoked(1, later)}},
			{"cursor": "c"},
			{"cursor": "d", "entries": []object{revoked(3, later)}},
		},
		streams: []stream{
			{said: alive() + event("revoked", revoked(2, later), "b +/"), ends: true},
			{said: event("reset", object{"as_of": now()}, "")},
		},
	}
	feed, _ := follow(t, said)
	until(t, func() bool { return len(said.heard()) >= 6 })
	expected := []string{"page ", "stream a", "page b +/", "stream c", "page ", "stream d"}
	if asked := said.heard()[:6]; !slices.Equal(asked, expected) {
		t.Fatal(asked)
	}
	until(t, func() bool { return feed.Check(token(2), "k") == nil })
	expect(t, feed, token(3), "k", ErrRevoked)
}

func TestWithoutNewsNothingIsCalledGoodForLongerThanWasAgreed(t *testing.T) {
	feed, server := follow(t, &saying{pages: []object{{"entries": []object{revoked(1, later)}}}})
	until(t, func() bool { return feed.State().Fresh })
	expect(t, feed, token(2), "k", nil)
	server.Listener.Close()
	server.CloseClientConnections()
	until(t, func() bool { return !feed.State().Fresh })
	expect(t, feed, token(2), "k", ErrStale)
	expect(t, feed, token(1), "k", ErrRevoked)
}

func TestNewsThatWereHeardBeforeAreNone(t *testing.T) {
	said, asOf := &saying{}, now()
	for range 50 {
		said.pages = append(said.pages, object{"as_of": asOf})
		said.streams = append(said.streams, stream{said: event("alive", object{"as_of": asOf}, ""), ends: true})
	}
	feed, _ := follow(t, said)
	until(t, func() bool { return feed.State().Fresh })
	until(t, func() bool { return !feed.State().Fresh })
	expect(t, feed, token(2), "k", ErrStale)
}
