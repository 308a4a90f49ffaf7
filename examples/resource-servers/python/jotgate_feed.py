"""Follows a Jotgate's revocation feed, as its docs/revocation-feed.md says. One file that needs Python 3.9 and
nothing else: copy it. SPDX-License-Identifier: Apache-2.0 OR MIT"""

import contextlib
import http.client
import json
import random
import socket
import ssl
import sys
import threading
import time
import urllib.parse

METADATA = "/.well-known/oauth-authorization-server"
# The most that is read: bytes of metadata, of a page, of an event; pages in a row; entries kept.
MOST_METADATA, MOST_PAGE, MOST_EVENT = 256 * 1024, 8 * 1024 * 1024, 64 * 1024
MOST_PAGES, MOST_ENTRIES = 2_000, 1_000_000
# Seconds. A whole answer, or the beginning of the stream, comes within PATIENCE; the stream says something at once,
# and then every 5 s; without a stream the feed is asked every POLL.
PATIENCE, FIRST_WORD, SILENCE, POLL, HELD_BACK = 10.0, 2.0, 12.0, 0.9, 60.0
FIRST_WAIT, MOST_WAIT, SWEEP = 0.1, 4.0, 60.0


class Stale(Exception):
    """Too little is known to call a token good. Answer 503, not 401: the token may be."""


class Unusable(Exception):
    """What the issuer said is not what it was asked for."""


class HeldBack(Exception):
    """Something on the way keeps the stream back."""


class Feed:
    """Follows `issuer` (exactly as its tokens name it) in a thread of its own; needs nobody to be up. May be asked
    from any thread. A process that forks makes one in each child: threads do not fork.

    stale_after: seconds without news after which nothing is called good any more.
    tls: other roots of trust than the system's.
    """

    def __init__(self, issuer, stale_after=60.0, tls=None):
        url = urllib.parse.urlsplit(issuer)
        if url.scheme not in ("https", "http") or not url.netloc or f"{url.scheme}://{url.netloc}" != issuer:
            raise ValueError("an issuer is https://host or https://host:port")
        if "@" in url.netloc or url.hostname is None:
            raise ValueError("an issuer is https://host or https://host:port")
        if url.scheme != "https" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("http to another host can be forged")
        if not stale_after > 0:
            raise ValueError("stale_after is a number of seconds")
        self._issuer, self._authority, self._host = issuer, url.netloc, url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if url.scheme == "https" else None
        self._stale_after = stale_after
        self._path = None  # of the feed, once the issuer told it
        self._jwks_uri = None
        self._told_paths = threading.Event()
        # What is revoked, and until when (seconds since 1970). Only the thread writes: it adds, or puts another here.
        self._known = {}
        self._cursor = None
        # Up to when all is known, by the slower clock, and when that last changed; the issuer's own word for it.
        self._heard_of, self._told = (None, 0.0), None
        self._sweep_at = 0.0
        self._streaming, self._trouble = False, None
        self._end = threading.Event()
        threading.Thread(target=self._follow, name="jotgate-feed", daemon=True).start()

    def is_revoked(self, claims, kid):
        """Whether a token, of which everything else is verified, was revoked. Raises Stale where it was not, as far as
        is known, but too little is known."""
        known = self._known
        # A token without `kid` would be good under a key that is revoked.
        if not isinstance(kid, str) or kid in known:
            return True
        if "status" in claims:
            try:
                entry = claims["status"]["status_list"]
                uri, idx = entry["uri"], entry["idx"]
            except (TypeError, KeyError):
                return True
            if not isinstance(uri, str) or not _is_count(idx) or (uri, idx) in known:
                return True
        if self._age() > self._stale_after:
            raise Stale("the revocations are not known")
        return False

    def state(self):
        """For a health check. `age`: seconds since all was known, None before the first time."""
        age = self._age()
        return {
            "fresh": age <= self._stale_after,
            "age": None if age == float("inf") else age,
            "entries": len(self._known),
            "streaming": self._streaming,
            "trouble": self._trouble,
        }

    def jwks_uri(self, within=30.0):
        """Where the issuer has its keys. Raises TimeoutError where it cannot be asked within so many seconds."""
        if not self._told_paths.wait(within):
            raise TimeoutError(f"{self._issuer}: {self._trouble or 'no answer'}")
        return self._jwks_uri

    def close(self):
        self._end.set()

    def _age(self):
        as_of, at = self._heard_of
        if as_of is None:
            return float("inf")
        # Both clocks: the one may be set back, the other may stand still while the machine sleeps.
        return max(0.0, time.time() - as_of, time.monotonic() - at)

    def _follow(self):
        wait, no_stream_before = FIRST_WAIT, 0.0
        while not self._end.is_set():
            began, caught_up = time.monotonic(), False
            try:
                self._discover()
                self._catch_up()
                caught_up, self._trouble = True, None
                if began >= no_stream_before:
                    self._stream()
            except Exception as error:  # whatever it is: who follows must not end
                self._trouble = f"{type(error).__name__}: {error}"
                if isinstance(error, HeldBack):
                    no_stream_before = time.monotonic() + HELD_BACK
                if not caught_up:
                    self._path = None  # the issuer may have moved it
            self._streaming = False
            if time.monotonic() - began > PATIENCE:
                wait = FIRST_WAIT
            wait = min(wait, POLL if caught_up else MOST_WAIT)
            # Not all who follow come back in one moment.
            self._end.wait(wait * (1 + random.random() / 2))
            wait *= 2

    def _discover(self):
        if self._path is not None:
            return
        metadata = self._read(METADATA, MOST_METADATA)
        if not isinstance(metadata, dict) or metadata.get("issuer") != self._issuer:
            raise Unusable("metadata of another issuer")
        feed, keys = self._at_home(metadata.get("revocation_feed_endpoint")), self._at_home(metadata.get("jwks_uri"))
        self._path, self._jwks_uri = feed, self._issuer + keys
        self._told_paths.set()

    def _at_home(self, uri):
        """The path of an address. By the text: whatever follows the slash, the host is the issuer's."""
        plain = isinstance(uri, str) and all("!" <= one <= "~" and one != "#" for one in uri)
        if not plain or not uri.startswith(self._issuer + "/"):
            raise Unusable("an address outside the issuer, or none")
        return uri[len(self._issuer) :]

    def _catch_up(self):
        """Pages until there are no more. What begins anew is put together aside, so that nothing revoked passes
        meanwhile."""
        cursor = self._cursor
        anew = {} if cursor is None else None
        for _ in range(MOST_PAGES):
            page = self._read(self._feed_from(cursor), MOST_PAGE)
            good = isinstance(page, dict) and isinstance(page.get("cursor"), str) and _is_count(page.get("as_of"))
            if not good or not isinstance(page.get("entries"), list):
                raise Unusable("no page of a feed")
            if page.get("reset") is True:
                anew = {}
            for entry in page["entries"]:
                _put(self._known if anew is None else anew, entry)
            cursor = page["cursor"]
            if page.get("more") is True:
                continue
            if anew is not None:
                # A node that lags behind the last one takes nothing back.
                if self._told is not None and self._told > page["as_of"]:
                    anew = {**self._known, **anew}
                self._known = anew
            self._cursor = cursor
            self._heard(page["as_of"])
            return
        raise Unusable("a feed without an end")

    def _stream(self):
        """Takes what comes, for as long as it comes. Returns where everything is to be learned anew."""
        with self._ask(self._feed_from(self._cursor), "text/event-stream") as (response, deadline):
            if not response.getheader("content-type", "").startswith("text/event-stream"):
                raise Unusable("no event stream")
            deadline.allow(FIRST_WORD)
            try:
                for name, ident, data in _events(response):
                    self._streaming = True
                    # After a whole event only: bytes that never become one are silence.
                    deadline.allow(SILENCE)
                    if name == "reset":
                        self._cursor = None
                        return
                    if name == "revoked":
                        _put(self._known, json.loads(data))
                    elif name == "alive":
                        alive = json.loads(data)
                        self._heard(alive.get("as_of") if isinstance(alive, dict) else None)
                    # After what it tells is done.
                    if ident is not None:
                        self._cursor = ident
            except Exception:
                if deadline.passed and not self._streaming:
                    raise HeldBack("the stream is held back") from None
                raise
            if deadline.passed and not self._streaming:
                raise HeldBack("the stream is held back")
        raise Unusable("the stream ended")

    def _heard(self, as_of):
        if not _is_count(as_of):
            raise Unusable("no as_of")
        # Heard again, it is no news: a node that lost its database says the same for ever.
        if as_of == self._told:
            return
        self._told = as_of
        now, (before, _) = time.time(), self._heard_of
        slower = min(as_of, now)
        if before is None or slower > before or before > now:
            self._heard_of = (slower, time.monotonic())
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP
            self._known = {what: until for what, until in self._known.items() if until >= slower}

    def _feed_from(self, cursor):
        return self._path if cursor is None else f"{self._path}?since={urllib.parse.quote(cursor, safe='')}"

    def _read(self, path, limit):
        with self._ask(path, "application/json") as (response, _):
            body = response.read(limit + 1)
        if len(body) > limit:
            raise Unusable("the answer is too long")
        return json.loads(body)

    @contextlib.contextmanager
    def _ask(self, path, accept):
        """A connection a question: they are rare. No redirect is followed and no proxy asked."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        plain = socket.create_connection((self._host, self._port), timeout=PATIENCE)
        deadline = _Deadline(plain)
        try:
            connection.sock = plain
            if self._tls is not None:
                connection.sock = self._tls.wrap_socket(
                    plain, server_hostname=self._host, do_handshake_on_connect=False
                )
                deadline.socket = connection.sock
                connection.sock.do_handshake()
            connection.request(
                "GET", path, headers={"Host": self._authority, "Accept": accept, "Connection": "close"}
            )
            response = connection.getresponse()
            if response.status != 200:
                raise Unusable(f"the issuer answered {response.status}")
            yield response, deadline
        finally:
            deadline.over.set()
            deadline.socket.close()
            connection.close()


class _Deadline:
    """Cuts a connection at an instant that can be moved, however slowly its other end drips."""

    def __init__(self, connected):
        self.socket, self.over, self.passed = connected, threading.Event(), False
        self.allow(PATIENCE)
        threading.Thread(target=self._watch, name="jotgate-feed-deadline", daemon=True).start()

    def allow(self, seconds):
        self._at = time.monotonic() + seconds

    def _watch(self):
        while not self.over.wait(0.1):
            if time.monotonic() >= self._at:
                self.passed = True
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


def _put(known, entry):
    """Half an entry is refused, not passed over: it was a revocation. One of a kind to come is passed over."""
    if not isinstance(entry, dict):
        raise Unusable("no entry of a feed")
    uri, idx, kid, until = (entry.get(name) for name in ("uri", "idx", "kid", "until"))
    if uri is None and idx is None and kid is None:
        return
    status = isinstance(uri, str) and _is_count(idx) and kid is None
    key = isinstance(kid, str) and uri is None and idx is None
    if not (status or key) or not _is_count(until):
        raise Unusable("half an entry of a feed")
    what = kid if key else (sys.intern(uri), idx)
    known[what] = max(until, known.get(what, 0))
    if len(known) > MOST_ENTRIES:
        raise Unusable("too many entries")


def _events(response):
    """Server-sent events, as far as the feed has them: (name, id, data)."""
    rest, size, name, ident, data = b"", 0, "", None, None
    while part := response.read1(64 * 1024):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            size += len(line)
            if size > MOST_EVENT:
                raise Unusable("an event without an end")
            line = line[:-1] if line.endswith(b"\r") else line
            if not line:
                if data is not None:
                    yield name, ident, data
                size, name, ident, data = 0, "", None, None
                continue
            field, _, value = line.decode("utf-8", "replace").partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                name = value
            elif field == "id":
                ident = value
            elif field == "data":
                data = value if data is None else f"{data}\n{value}"
        if size + len(rest) > MOST_EVENT:
            raise Unusable("an event without an end")


def _is_count(value):
    return type(value) is int and 0 <= value < 2**53
