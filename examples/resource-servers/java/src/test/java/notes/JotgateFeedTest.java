// What the follower makes of what an issuer says, word for word. It needs nothing but Java:
//   javac -d target src/main/java/notes/JotgateFeed.java src/test/java/notes/JotgateFeedTest.java
//   java -cp target notes.JotgateFeedTest
// The issuer here says what a test wants. SPDX-License-Identifier: Apache-2.0 OR MIT
package notes;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;

public final class JotgateFeedTest {
    private static final long LATER = 4_000_000_000L;

    public static void main(String[] arguments) throws Exception {
        pagesAreReadToTheirEndAndAnEntryOfAKindToComeIsPassedOver();
        halfAnEntryFailsThePage();
        whatTheStreamTellsCountsAtOnceAndOnceInWhateverOrderItComes();
        aStreamThatEndedGoesOnAtItsCursorAndAResetBeginsAnew();
        withoutNewsNothingIsCalledGoodForLongerThanWasAgreed();
        newsThatWereHeardBeforeAreNone();
        System.out.println("6 tests hold");
    }

    private static void pagesAreReadToTheirEndAndAnEntryOfAKindToComeIsPassedOver() throws Exception {
        try (var issuer = new Issuer(
                List.of(page("first", true, revoked(1, LATER), "{\"shape\":\"new\"}"),
                        page("second", false, "{\"kid\":\"old\",\"until\":" + LATER + "}")),
                List.of())) {
            until(() -> issuer.feed.state().fresh());
            same(List.of("page ", "page first"), issuer.asked.subList(0, 2));
            for (boolean refused : new boolean[] {
                issuer.feed.isRevoked(token(1), "k"),
                issuer.feed.isRevoked(token(2), "old"),
                issuer.feed.isRevoked(token(2), null),
                issuer.feed.isRevoked(Map.of("status", "x"), "k"),
                !issuer.feed.isRevoked(token(2), "k"),
                !issuer.feed.isRevoked(Map.of(), "k"),
            }) {
                same(true, refused);
            }
        }
    }

    private static void halfAnEntryFailsThePage() throws Exception {
        String list = "\"uri\":\"https://id.example/status/0\"";
        List<String> half = List.of(
                "{" + list + ",\"idx\":\"1\",\"until\":" + LATER + "}",
                "{\"uri\":\"x\",\"until\":1}",
                "{" + list + ",\"idx\":1}",
                "{" + list + ",\"idx\":1,\"kid\":\"k\",\"until\":" + LATER + "}");
        var pages = half.stream().map(one -> page("c", false, revoked(7, LATER), one)).toList();
        try (var issuer = new Issuer(pages, List.of())) {
            for (int failed = 1; failed <= half.size(); failed++) {
                int enough = failed;
                until(() -> issuer.asked.size() >= enough);
                stale(issuer.feed, 7);
            }
            until(() -> issuer.feed.state().fresh());
            same(false, issuer.feed.isRevoked(token(7), "k"));
        }
    }

    private static void whatTheStreamTellsCountsAtOnceAndOnceInWhateverOrderItComes() throws Exception {
        String told = alive() + event("other", "{}", null) + event("revoked", revoked(2, LATER), null)
                + event("revoked", revoked(1, LATER), null) + event("revoked", revoked(2, now() + 9), null);
        try (var issuer = new Issuer(List.of(), List.of(new Said(told, false)))) {
            until(() -> issuer.feed.state().streaming() && issuer.feed.state().entries() == 2);
            same(true, issuer.feed.isRevoked(token(1), "k") && issuer.feed.isRevoked(token(2), "k"));
            same(false, issuer.feed.isRevoked(token(3), "k"));
        }
    }

    private static void aStreamThatEndedGoesOnAtItsCursorAndAResetBeginsAnew() throws Exception {
        try (var issuer = new Issuer(
                List.of(page("a", false, revoked(1, LATER)), page("c", false), page("d", false, revoked(3, LATER))),
                List.of(new Said(alive() + event("revoked", revoked(2, LATER), "b +/"), true),
                        new Said(event("reset", "{\"as_of\":" + now() + "}", null), false)))) {
            until(() -> issuer.asked.size() >= 6);
            same(List.of("page ", "stream a", "page b +/", "stream c", "page ", "stream d"), issuer.asked.subList(0, 6));
            until(() -> !issuer.feed.isRevoked(token(2), "k"));
            same(true, issuer.feed.isRevoked(token(3), "k"));
        }
    }

    private static void withoutNewsNothingIsCalledGoodForLongerThanWasAgreed() throws Exception {
        try (var issuer = new Issuer(List.of(page("c", false, revoked(1, LATER))), List.of())) {
            until(() -> issuer.feed.state().fresh());
            same(false, issuer.feed.isRevoked(token(2), "k"));
            issuer.stop();
            until(() -> !issuer.feed.state().fresh());
            stale(issuer.feed, 2);
            same(true, issuer.feed.isRevoked(token(1), "k"));
        }
    }

    private static void newsThatWereHeardBeforeAreNone() throws Exception {
        String asOf = "{\"as_of\":" + now() + "}";
        String page = "{\"cursor\":\"c\",\"entries\":[]," + asOf.substring(1);
        var streams = Collections.nCopies(50, new Said(event("alive", asOf, null), true));
        try (var issuer = new Issuer(Collections.nCopies(50, page), streams)) {
            until(() -> issuer.feed.state().fresh());
            until(() -> !issuer.feed.state().fresh());
            stale(issuer.feed, 2);
        }
    }

    /** What a stream says, and whether it ends then. */
    private record Said(String text, boolean ends) {}

    /** Answers with each of its pages and streams once, in their order; then with nothing new. */
    private static final class Issuer implements AutoCloseable {
        final List<String> asked = new CopyOnWriteArrayList<>();
        final JotgateFeed feed;
        private final Queue<String> pages;
        private final Queue<Said> streams;
        private final CountDownLatch over = new CountDownLatch(1);
        private final HttpServer server;
        private final String url;

        Issuer(List<String> pages, List<Said> streams) throws IOException {
            this.pages = new ArrayDeque<>(pages);
            this.streams = new ArrayDeque<>(streams);
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            url = "http://127.0.0.1:" + server.getAddress().getPort();
            server.createContext("/", this::answer);
            server.setExecutor(Executors.newCachedThreadPool(work -> {
                Thread thread = new Thread(work);
                thread.setDaemon(true);
                return thread;
            }));
            server.start();
            feed = new JotgateFeed(url, Duration.ofSeconds(2));
        }

        private void answer(HttpExchange exchange) throws IOException {
            try (exchange) {
                if (exchange.getRequestURI().getPath().startsWith("/.well-known/")) {
                    say(exchange, "application/json", String.format(
                            "{\"issuer\":\"%1$s\",\"jwks_uri\":\"%1$s/keys\",\"revocation_feed_endpoint\":\"%1$s/feed\"}",
                            url));
                    return;
                }
                String query = exchange.getRequestURI().getRawQuery();
                String since = query == null ? "" : URLDecoder.decode(query.substring(6), StandardCharsets.UTF_8);
                if (!exchange.getRequestHeaders().getFirst("Accept").equals("text/event-stream")) {
                    asked.add("page " + since);
                    String page = pages.poll();
                    say(exchange, "application/json", page == null ? page("c", false) : page);
                    return;
                }
                asked.add("stream " + since);
                Said said = streams.poll();
                say(exchange, "text/event-stream", said == null ? alive() : said.text);
                if (said == null || !said.ends) {
                    over.await();
                }
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }

        private static void say(HttpExchange exchange, String kind, String text) throws IOException {
            exchange.getResponseHeaders().set("Content-Type", kind);
            exchange.sendResponseHeaders(200, 0);
            exchange.getResponseBody().write(text.getBytes(StandardCharsets.UTF_8));
            exchange.getResponseBody().flush();
        }

        void stop() {
            over.countDown();
            server.stop(0);
        }

        @Override
        public void close() {
            feed.close();
            stop();
        }
    }

    private static String page(String cursor, boolean more, String... entries) {
        return String.format("{\"cursor\":\"%s\",\"as_of\":%d,\"reset\":false,\"more\":%s,\"entries\":[%s]}",
                cursor, now(), more, String.join(",", entries));
    }

    private static String revoked(int idx, long until) {
        return String.format("{\"uri\":\"https://id.example/status/0\",\"idx\":%d,\"until\":%d}", idx, until);
    }

    private static String event(String name, String data, String id) {
        return "event: " + name + "\n" + (id == null ? "" : "id: " + id + "\n") + "data: " + data + "\n\n";
    }

    private static String alive() {
        return event("alive", "{\"as_of\":" + now() + "}", null);
    }

    private static Map<String, Object> token(long idx) {
        return Map.of("status", Map.of("status_list", Map.of("uri", "https://id.example/status/0", "idx", idx)));
    }

    private static long now() {
        return System.currentTimeMillis() / 1000;
    }

    private static void until(BooleanSupplier holds) throws InterruptedException {
        for (int tries = 0; tries < 500; tries++) {
            if (holds.getAsBoolean()) {
                return;
            }
            Thread.sleep(20);
        }
        throw new AssertionError("never");
    }

    private static void same(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError(found + ", not " + expected);
        }
    }

    private static void stale(JotgateFeed feed, long idx) {
        try {
            throw new AssertionError("called " + (feed.isRevoked(token(idx), "k") ? "revoked" : "good"));
        } catch (JotgateFeed.Stale expected) {
            // As it should be.
        }
    }
}
