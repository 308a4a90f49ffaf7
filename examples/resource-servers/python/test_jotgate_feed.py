"""What jotgate_feed.py makes of what an issuer says, word for word: `python3 -m unittest`. The issuer here says what a
test wants. SPDX-License-Identifier: Apache-2.0 OR MIT"""

import http.server
import json
import threading
import time
import unittest
import urllib.parse

from jotgate_feed import Feed, Stale

LATER = 4_000_000_000


def now():
    return int(time.time())


def token(idx):
    return {"status": {"status_list": {"uri": "https://id.example/status/0", "idx": idx}}}


def entry(idx, until=LATER):
    return {"uri": "https://id.example/status/0", "idx": idx, "until": until}


def event(name, data, ident=None):
    told = "" if ident is None else f"id: {ident}\n"
    return f"event: {name}\n{told}data: {json.dumps(data)}\n\n"


def alive():
    return event("alive", {"as_of": now()})


class Issuer(http.server.ThreadingHTTPServer):
    """Answers with each of `pages` and `streams` once, in their order; then with nothing new. A stream that is a list
    is sent and ends, a text is sent and stays open."""

    daemon_threads = True

    def __init__(self, pages=(), streams=()):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://localhost:{self.server_address[1]}"
        self.pages, self.streams, self.asked, self.over = list(pages), list(streams), [], threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        issuer, url = self.server, urllib.parse.urlsplit(self.path)
        if issuer.over.is_set():
            return
        if url.path.startswith("/.well-known/"):
            here = issuer.url
            told = {"issuer": here, "jwks_uri": f"{here}/keys", "revocation_feed_endpoint": f"{here}/feed"}
            return self.say("application/json", json.dumps(told))
        streamed = self.headers["accept"] == "text/event-stream"
        since = urllib.parse.parse_qs(url.query).get("since", [None])[0]
        issuer.asked.append(("stream" if streamed else "page", since))
        if not streamed:
            page = {"cursor": "c", "as_of": now(), "reset": False, "more": False, "entries": []}
            page.update(issuer.pages.pop(0) if issuer.pages else {})
            return self.say("application/json", json.dumps(page))
        stream = issuer.streams.pop(0) if issuer.streams else alive()
        self.say("text/event-stream", "".join(stream))
        if isinstance(stream, str):
            issuer.over.wait()

    def say(self, kind, text):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Follows(unittest.TestCase):
    def follow(self, **said):
        issuer = Issuer(**said)
        feed = Feed(issuer.url, stale_after=2)
        self.addCleanup(issuer.stop)
        self.addCleanup(feed.close)
        return feed, issuer

    def until(self, holds):
        for _ in range(500):
            if holds():
                return
            time.sleep(0.02)
        self.fail("never")

    def test_pages_are_read_to_their_end_and_an_entry_of_a_kind_to_come_is_passed_over(self):
        first = {"cursor": "first", "more": True, "entries": [entry(1), {"shape": "new"}]}
        second = {"cursor": "second", "entries": [{"kid": "old", "until": LATER}]}
        feed, issuer = self.follow(pages=[first, second])
        self.until(lambda: feed.state()["fresh"])
        self.assertEqual(issuer.asked[:2], [("page", None), ("page", "first")])
        for claims, kid in [(token(1), "k"), (token(2), "old"), (token(2), None), ({"status": "x"}, "k")]:
            self.assertTrue(feed.is_revoked(claims, kid), (claims, kid))
        for claims in [token(2), {}]:
            self.assertFalse(feed.is_revoked(claims, "k"), claims)

    def test_half_an_entry_fails_the_page(self):
        half = [
            {**entry(1), "idx": "1"},
            {"uri": "x", "until": 1},
            {**entry(1), "until": None},
            {**entry(1), "kid": "k"},
        ]
        feed, issuer = self.follow(pages=[{"entries": [entry(7), one]} for one in half])
        for failed in range(1, len(half) + 1):
            self.until(lambda failed=failed: len(issuer.asked) >= failed)
            self.assertFalse(feed.state()["fresh"])
            self.assertRaises(Stale, feed.is_revoked, token(7), "k")
        self.until(lambda: feed.state()["fresh"])
        self.assertFalse(feed.is_revoked(token(7), "k"))

    def test_what_the_stream_tells_counts_at_once_and_once_in_whatever_order_it_comes(self):
        told = [event("revoked", one) for one in (entry(2), entry(1), entry(2, now() + 9))]
        feed, _ = self.follow(streams=["".join([alive(), event("other", {}), *told])])
        self.until(lambda: feed.state()["streaming"] and feed.state()["entries"] == 2)
        self.assertTrue(feed.is_revoked(token(1), "k") and feed.is_revoked(token(2), "k"))
        self.assertFalse(feed.is_revoked(token(3), "k"))

    def test_a_stream_that_ended_goes_on_at_its_cursor_and_a_reset_begins_anew(self):
        feed, issuer = self.follow(
            pages=[{"cursor": "a", "entries": [entry(1)]}, {"cursor": "c"}, {"cursor": "d", "entries": [entry(3)]}],
            streams=[[alive(), event("revoked", entry(2), "b +/")], event("reset", {"as_of": now()})],
        )
        self.until(lambda: len(issuer.asked) >= 6)
        expected = [("page", None), ("stream", "a"), ("page", "b +/"), ("stream", "c"), ("page", None), ("stream", "d")]
        self.assertEqual(issuer.asked[:6], expected)
        self.until(lambda: not feed.is_revoked(token(2), "k"))
        self.assertTrue(feed.is_revoked(token(3), "k"))

    def test_without_news_nothing_is_called_good_for_longer_than_was_agreed(self):
        feed, issuer = self.follow(pages=[{"entries": [entry(1)]}])
        self.until(lambda: feed.state()["fresh"])
        self.assertFalse(feed.is_revoked(token(2), "k"))
        issuer.over.set()
        self.until(lambda: not feed.state()["fresh"])
        self.assertRaises(Stale, feed.is_revoked, token(2), "k")
        self.assertTrue(feed.is_revoked(token(1), "k"))

    def test_news_that_were_heard_before_are_none(self):
        as_of = now()
        streams = [[event("alive", {"as_of": as_of})] for _ in range(50)]
        feed, _ = self.follow(pages=[{"as_of": as_of} for _ in range(50)], streams=streams)
        self.until(lambda: feed.state()["fresh"])
        self.until(lambda: not feed.state()["fresh"])
        self.assertRaises(Stale, feed.is_revoked, token(2), "k")


if __name__ == "__main__":
    unittest.main()
