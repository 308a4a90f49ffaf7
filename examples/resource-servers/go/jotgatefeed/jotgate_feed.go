// Package jotgatefeed follows a Jotgate's revocation feed, as its docs/revocation-feed.md says. One file that needs
// Go 1.22 and its standard library: copy it. SPDX-License-Identifier: Apache-2.0 OR MIT
package jotgatefeed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	metadataPath = "/.well-known/oauth-authorization-server"

	// The most that is read: bytes of metadata, of a page, of an event; pages in a row; entries kept.
	mostMetadata, mostPage, mostEvent = 256 << 10, 8 << 20, 64 << 10
	mostPages, mostEntries            = 2_000, 1_000_000

	// A whole answer, or the beginning of the stream, comes within patience; the stream says something at once, and
	// then every 5 s; without a stream the feed is asked every poll.
	patience, firstWord, silence = 10 * time.Second, 2 * time.Second, 12 * time.Second
	poll, heldBackFor            = 900 * time.Millisecond, time.Minute
	firstWait, mostWait          = 100 * time.Millisecond, 4 * time.Second
	sweepEvery                   = time.Minute
)

var (
	// ErrRevoked says that a token was revoked. Answer 401.
	ErrRevoked = errors.New("the token was revoked")
	// ErrStale says that too little is known to call a token good. Answer 503, not 401: the token may be.
	ErrStale = errors.New("the revocations are not known")

	errLate     = errors.New("no whole answer in time")
	errHeldBack = errors.New("the stream is held back")
	errReset    = errors.New("everything is to be learned anew")
)

// Feed is what is known of an issuer's revocations. Any number of goroutines may ask it.
type Feed struct {
	issuer     string
	staleAfter time.Duration
	client     *http.Client
	toldKeys   chan struct{} // closed once the issuer told where its keys are

	mutex     sync.RWMutex // of all below
	keys      string
	known     map[what]int64 // what is revoked, and until when, in seconds since 1970
	asOf      float64        // up to when all is known, by the slower clock; NaN before the first time
	heardAt   time.Time      // when that last changed
	told      int64          // the issuer's own word for it
	streaming bool
	trouble   string

	// Of the goroutine that follows alone.
	feed, cursor string
	begun        bool // there is a cursor
	sweepAt      time.Time
}

// what is an entry of a status list, or a key: then the list is empty.
type what struct {
	list string
	idx  int64
	kid  string
}

// State is for a health check.
type State struct {
	Fresh     bool     `json:"fresh"`
	Age       *float64 `json:"age"` // seconds since all was known, none before the first time
	Entries   int      `json:"entries"`
	Streaming bool     `json:"streaming"`
	Trouble   string   `json:"trouble"`
}

// Follow begins to follow issuer (exactly as its tokens name it), until ctx ends; it needs nobody to be up. Without
// news for longer than staleAfter, nothing is called good any more.
func Follow(ctx context.Context, issuer string, staleAfter time.Duration) (*Feed, error) {
	at, err := url.Parse(issuer)
	if err != nil || at.Host == "" || at.Scheme+"://"+at.Host != issuer {
		return nil, errors.New("an issuer is https://host or https://host:port")
	}
	here := at.Hostname() == "localhost" || at.Hostname() == "127.0.0.1" || at.Hostname() == "::1"
	if at.Scheme != "https" && !(at.Scheme == "http" && here) {
		return nil, errors.New("http to another host can be forged")
	}
	if staleAfter <= 0 {
		return nil, errors.New("staleAfter is a time")
	}
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout:    patience,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		IdleConnTimeout:        patience,
	}
	// No redirect is followed and no proxy asked.
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	f := &Feed{
		issuer:     issuer,
		staleAfter: staleAfter,
		client:     &http.Client{Transport: transport, CheckRedirect: noRedirect},
		toldKeys:   make(chan struct{}),
		known:      map[what]int64{},
		asOf:       math.NaN(),
		told:       -1,
	}
	go f.follow(ctx)
	return f, nil
}

// Check says whether a token, of which everything else is verified, was revoked: ErrRevoked, or ErrStale where it was
// not, as far as is known, but too little is known. kid is the header's, whatever it is.
func (f *Feed) Check(claims map[string]any, kid any) error {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	// A token without `kid` would be good under a key that is revoked.
	text, _ := kid.(string)
	if _, revoked := f.known[what{kid: text}]; revoked || text == "" {
		return ErrRevoked
	}
	if status, named := claims["status"]; named {
		entry, good := entryOf(status)
		if _, revoked := f.known[entry]; revoked || !good {
			return ErrRevoked
		}
	}
	if f.age() > f.staleAfter.Seconds() {
		return ErrStale
	}
	return nil
}

// State tells what a health check wants to know.
func (f *Feed) State() State {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	state := State{Entries: len(f.known), Streaming: f.streaming, Trouble: f.trouble}
	if age := f.age(); !math.IsInf(age, 1) {
		state.Age, state.Fresh = &age, age <= f.staleAfter.Seconds()
	}
	return state
}

// JWKSURI is where the issuer has its keys. It fails where the issuer cannot be asked before ctx ends.
func (f *Feed) JWKSURI(ctx context.Context) (string, error) {
	select {
	case <-f.toldKeys:
		f.mutex.RLock()
		defer f.mutex.RUnlock()
		return f.keys, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w: %s", f.issuer, ctx.Err(), f.State().Trouble)
	}
}

func entryOf(status any) (what, bool) {
	claim, _ := status.(map[string]any)
	list, _ := claim["status_list"].(map[string]any)
	uri, named := list["uri"].(string)
	switch idx := list["idx"].(type) {
	case float64:
		good := named && uri != "" && idx >= 0 && idx < 1<<53 && idx == math.Trunc(idx)
		return what{list: uri, idx: int64(idx)}, good
	case json.Number:
		number, err := idx.Int64()
		return what{list: uri, idx: number}, named && uri != "" && err == nil && number >= 0
	}
	return what{}, false
}

// age is in seconds. Both clocks count: the one may be set back, the other may stand still while the machine sleeps.
func (f *Feed) age() float64 {
	if math.IsNaN(f.asOf) {
		return math.Inf(1)
	}
	return max(0, seconds(time.Now())-f.asOf, time.Since(f.heardAt).Seconds())
}

func seconds(at time.Time) float64 {
	return float64(at.UnixMilli()) / 1000
}

func (f *Feed) follow(ctx context.Context) {
	wait, noStreamBefore := firstWait, time.Time{}
	for ctx.Err() == nil {
		began := time.Now()
		err := f.discover(ctx)
		if err == nil {
			err = f.catchUp(ctx)
		}
		caughtUp := err == nil
		if caughtUp {
			f.note("")
			if began.After(noStreamBefore) {
				err = f.stream(ctx)
			}
		}
		if err != nil {
			f.note(err.Error())
		}
		if errors.Is(err, errHeldBack) {
			noStreamBefore = time.Now().Add(heldBackFor)
		}
		most := poll
		if !caughtUp {
			f.feed, most = "", mostWait // the issuer may have moved it
		}
		if time.Since(began) > patience {
			wait = firstWait
		}
		wait = min(wait, most)
		// Not all who follow come back in one moment.
		select {
		case <-time.After(wait + time.Duration(rand.Int63n(int64(wait)/2))):
		case <-ctx.Done():
		}
		wait *= 2
	}
}

// note says what went wrong, or that nothing did; in either case there is no stream.
func (f *Feed) note(trouble string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.trouble, f.streaming = trouble, false
}

func (f *Feed) discover(ctx context.Context) error {
	if f.feed != "" {
		return nil
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		Feed   string `json:"revocation_feed_endpoint"`
		Keys   string `json:"jwks_uri"`
	}
	if err := f.read(ctx, f.issuer+metadataPath, mostMetadata, &metadata); err != nil {
		return err
	}
	if metadata.Issuer != f.issuer {
		return errors.New("metadata of another issuer")
	}
	if !f.isAtHome(metadata.Feed) || !f.isAtHome(metadata.Keys) {
		return errors.New("an address outside the issuer, or none")
	}
	f.feed = metadata.Feed
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.keys == "" {
		close(f.toldKeys)
	}
	f.keys = metadata.Keys
	return nil
}

// isAtHome goes by the text: whatever follows the slash, the host is the issuer's.
func (f *Feed) isAtHome(uri string) bool {
	other := func(r rune) bool { return r < '!' || r > '~' || r == '#' }
	return strings.HasPrefix(uri, f.issuer+"/") && strings.IndexFunc(uri, other) < 0
}

type entry struct {
	URI   *string `json:"uri"`
	Idx   *int64  `json:"idx"`
	Kid   *string `json:"kid"`
	Until *int64  `json:"until"`
}

// catchUp reads pages until there are no more. What begins anew is put together aside, so that nothing revoked passes
// meanwhile.
func (f *Feed) catchUp(ctx context.Context) error {
	cursor, begun := f.cursor, f.begun
	var anew map[what]int64
	if !begun {
		anew = map[what]int64{}
	}
	for range mostPages {
		var page struct {
			Cursor  *string  `json:"cursor"`
			AsOf    *int64   `json:"as_of"`
			Reset   bool     `json:"reset"`
			More    bool     `json:"more"`
			Entries *[]entry `json:"entries"`
		}
		if err := f.read(ctx, f.feedFrom(cursor, begun), mostPage, &page); err != nil {
			return err
		}
		if page.Cursor == nil || page.AsOf == nil || page.Entries == nil {
			return errors.New("no page of a feed")
		}
		if page.Reset {
			anew = map[what]int64{}
		}
		if err := f.put(anew, *page.Entries...); err != nil {
			return err
		}
		cursor, begun = *page.Cursor, true
		if page.More {
			continue
		}
		if anew != nil {
			f.replace(anew, *page.AsOf)
		}
		f.cursor, f.begun = cursor, true
		return f.heard(*page.AsOf)
	}
	return errors.New("a feed without an end")
}

func (f *Feed) replace(anew map[what]int64, asOf int64) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	// A node that lags behind the last one takes nothing back.
	if f.told > asOf {
		for what, until := range f.known {
			anew[what] = max(until, anew[what])
		}
	}
	f.known = anew
}

// put adds to what is put together aside, or to what is in use. Half an entry is refused, not passed over: it was a
// revocation. One of a kind to come is passed over.
func (f *Feed) put(aside map[what]int64, entries ...entry) error {
	known := aside
	if known == nil {
		f.mutex.Lock()
		defer f.mutex.Unlock()
		known = f.known
	}
	for _, e := range entries {
		var revoked what
		switch {
		case e.URI == nil && e.Idx == nil && e.Kid == nil:
			continue
		case e.Until == nil || *e.Until < 0:
			return errors.New("half an entry of a feed")
		case e.URI != nil && *e.URI != "" && e.Idx != nil && *e.Idx >= 0 && e.Kid == nil:
			revoked = what{list: *e.URI, idx: *e.Idx}
		case e.Kid != nil && *e.Kid != "" && e.URI == nil && e.Idx == nil:
			revoked = what{kid: *e.Kid}
		default:
			return errors.New("half an entry of a feed")
		}
		known[revoked] = max(*e.Until, known[revoked])
		if len(known) > mostEntries {
			return errors.New("too many entries")
		}
	}
	return nil
}

// stream takes what comes, for as long as it comes.
func (f *Feed) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(patience, func() { cancel(errHeldBack) })
	defer func() { timer.Stop() }()
	body, err := f.ask(ctx, f.feedFrom(f.cursor, f.begun), "text/event-stream")
	if err != nil {
		return err
	}
	defer body.Close()
	timer.Reset(firstWord)
	began := false
	err = events(body, func(name, id, data string) error {
		if !began {
			began = true
			timer.Stop()
			timer = time.AfterFunc(silence, func() { cancel(errors.New("the stream fell silent")) })
			f.mutex.Lock()
			f.streaming = true
			f.mutex.Unlock()
		}
		// After a whole event only: bytes that never become one are silence.
		timer.Reset(silence)
		return f.take(name, id, data)
	})
	if errors.Is(err, errReset) {
		f.begun = false
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (f *Feed) take(name, id, data string) error {
	switch name {
	case "reset":
		return errReset
	case "revoked":
		var revoked entry
		if err := json.Unmarshal([]byte(data), &revoked); err != nil {
			return err
		}
		if err := f.put(nil, revoked); err != nil {
			return err
		}
	case "alive":
		var alive struct {
			AsOf *int64 `json:"as_of"`
		}
		if err := json.Unmarshal([]byte(data), &alive); err != nil {
			return err
		}
		if alive.AsOf == nil {
			return errors.New("no as_of")
		}
		if err := f.heard(*alive.AsOf); err != nil {
			return err
		}
	}
	// After what it tells is done.
	if id != "" {
		f.cursor, f.begun = id, true
	}
	return nil
}

func (f *Feed) heard(asOf int64) error {
	if asOf < 0 || asOf >= 1<<53 {
		return errors.New("no as_of")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	// Heard again, it is no news: a node that lost its database says the same for ever.
	if asOf == f.told {
		return nil
	}
	f.told = asOf
	now := seconds(time.Now())
	slower := min(float64(asOf), now)
	if math.IsNaN(f.asOf) || slower > f.asOf || f.asOf > now {
		f.asOf, f.heardAt = slower, time.Now()
	}
	if time.Now().After(f.sweepAt) {
		f.sweepAt = time.Now().Add(sweepEvery)
		for what, until := range f.known {
			if float64(until) < slower {
				delete(f.known, what)
			}
		}
	}
	return nil
}

func (f *Feed) feedFrom(cursor string, begun bool) string {
	if !begun {
		return f.feed
	}
	return f.feed + "?since=" + url.QueryEscape(cursor)
}

// read takes a whole answer of at most limit bytes.
func (f *Feed) read(ctx context.Context, address string, limit int64, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	body, err := f.ask(ctx, address, "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(text)) > limit {
		return errors.New("the answer is too long")
	}
	return json.Unmarshal(text, into)
}

func (f *Feed) ask(ctx context.Context, address, accept string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := f.client.Do(request)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	kind := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, accept) {
		response.Body.Close()
		return nil, fmt.Errorf("the issuer answered %d, %q", response.StatusCode, kind)
	}
	return response.Body, nil
}

// events takes server-sent events apart, as far as the feed has them.
func events(body io.Reader, take func(name, id, data string) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4096), mostEvent)
	var name, id, data string
	size, has := 0, false
	for lines.Scan() {
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if size += len(line); size > mostEvent {
			return errors.New("an event without an end")
		}
		if len(line) == 0 {
			if has {
				if err := take(name, id, data); err != nil {
					return err
				}
			}
			name, id, data, size, has = "", "", "", 0, false
			continue
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			if has {
				data += "\n"
			}
			data, has = data+value, true
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended")
}
