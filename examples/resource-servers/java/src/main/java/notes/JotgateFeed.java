// Follows a Jotgate's revocation feed, as its docs/revocation-feed.md says. One file that needs Java 17 and its
// standard library: copy it. SPDX-License-Identifier: Apache-2.0 OR MIT
package notes;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** What is known of an issuer's revocations, kept by a thread of its own. Any thread may ask. */
public final class JotgateFeed implements AutoCloseable {
    private static final String METADATA = "/.well-known/oauth-authorization-server";
    // The most that is read: bytes of metadata, of a page, of an event; pages in a row; entries kept.
    private static final int MOST_METADATA = 256 << 10, MOST_PAGE = 8 << 20, MOST_EVENT = 64 << 10;
    private static final int MOST_PAGES = 2_000, MOST_ENTRIES = 1_000_000;
    // Milliseconds. A whole answer, or the beginning of the stream, comes within PATIENCE; the stream says something
    // at once, and then every 5 s; without a stream the feed is asked every POLL.
    private static final long PATIENCE = 10_000, FIRST_WORD = 2_000, SILENCE = 12_000, POLL = 900, HELD_BACK = 60_000;
    private static final long FIRST_WAIT = 100, MOST_WAIT = 4_000, SWEEP = 60_000;

    private final String issuer;
    private final double staleAfter;
    private final HttpClient client;
    private final Thread thread;
    private final CountDownLatch toldKeys = new CountDownLatch(1);
    private volatile String keys;
    /** What is revoked, and until when (seconds since 1970). Only the thread writes. */
    private volatile Map<What, Long> known = new ConcurrentHashMap<>();
    private volatile Heard heard = new Heard(Double.NaN, 0);
    private volatile boolean streaming;
    private volatile String trouble;

    // Of the thread alone.
    private String feed;
    private String cursor;
    private long told = -1;
    private long sweepAt = System.nanoTime();

    /** An entry of a status list, or a key: then the list is empty. */
    private record What(String list, long idx, String kid) {}

    /** Up to when all is known, by the slower clock, and when that last changed. */
    private record Heard(double asOf, long at) {}

    /** For a health check. `age`: seconds since all was known, null before the first time. */
    public record State(boolean fresh, Double age, int entries, boolean streaming, String trouble) {}

    /** Too little is known to call a token good. Answer 503, not 401: the token may be. */
    public static final class Stale extends RuntimeException {
        Stale() {
            super("the revocations are not known");
        }
    }

    /** What the issuer said is not what it was asked for. */
    private static final class Unusable extends IOException {
        Unusable(String what) {
            super(what);
        }
    }

    /** Nothing came in time. */
    private static final class Late extends IOException {
        Late() {
            super("no answer in time");
        }
    }

    /** Something on the way keeps the stream back. */
    private static final class HeldBack extends IOException {
        HeldBack() {
            super("the stream is held back");
        }
    }

    /**
     * Begins to follow `issuer` (exactly as its tokens name it); needs nobody to be up. Without news for longer than
     * `staleAfter`, nothing is called good any more.
     */
    public JotgateFeed(String issuer, Duration staleAfter) {
        URI at = URI.create(issuer);
        boolean origin = issuer.equals(at.getScheme() + "://" + at.getRawAuthority()) && at.getUserInfo() == null;
        if (at.getHost() == null || !origin) {
            throw new IllegalArgumentException("an issuer is https://host or https://host:port");
        }
        boolean here = List.of("localhost", "127.0.0.1", "[::1]").contains(at.getHost());
        if (!at.getScheme().equals("https") && !(at.getScheme().equals("http") && here)) {
            throw new IllegalArgumentException("http to another host can be forged");
        }
        if (staleAfter.isNegative() || staleAfter.isZero()) {
            throw new IllegalArgumentException("staleAfter is a time");
        }
        this.issuer = issuer;
        this.staleAfter = staleAfter.toMillis() / 1000.0;
        // No redirect is followed and no proxy asked.
        client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER)
                .proxy(HttpClient.Builder.NO_PROXY)
                .connectTimeout(Duration.ofMillis(PATIENCE))
                .build();
        thread = new Thread(this::follow, "jotgate-feed");
        thread.setDaemon(true);
        thread.start();
    }

    /**
     * Whether a token, of which everything else is verified, was revoked.
     *
     * @throws Stale it was not, as far as is known, but too little is known
     */
    public boolean isRevoked(Map<String, ?> claims, String kid) {
        // A token without `kid` would be good under a key that is revoked.
        if (kid == null || known.containsKey(new What("", 0, kid))) {
            return true;
        }
        if (claims.containsKey("status")) {
            Object list = claims.get("status") instanceof Map<?, ?> status ? status.get("status_list") : null;
            boolean named = list instanceof Map<?, ?> entry && entry.get("uri") instanceof String
                    && entry.get("idx") instanceof Number;
            if (!named) {
                return true;
            }
            Map<?, ?> entry = (Map<?, ?>) list;
            Number idx = (Number) entry.get("idx");
            boolean whole = (idx instanceof Long || idx instanceof Integer) && idx.longValue() >= 0;
            if (!whole || known.containsKey(new What((String) entry.get("uri"), idx.longValue(), ""))) {
                return true;
            }
        }
        if (age() > staleAfter) {
            throw new Stale();
        }
        return false;
    }

    public State state() {
        double age = age();
        Double told = Double.isInfinite(age) ? null : age;
        return new State(age <= staleAfter, told, known.size(), streaming, trouble);
    }

    /** Where the issuer has its keys. Fails where it cannot be asked within 30 s. */
    public String jwksUri() {
        try {
            if (toldKeys.await(30, TimeUnit.SECONDS)) {
                return keys;
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        throw new IllegalStateException(issuer + ": " + Objects.requireNonNullElse(trouble, "no answer"));
    }

    @Override
    public void close() {
        thread.interrupt();
    }

    /** In seconds. Both clocks count: the one may be set back, the other may stand still while the machine sleeps. */
    private double age() {
        Heard heard = this.heard;
        if (Double.isNaN(heard.asOf)) {
            return Double.POSITIVE_INFINITY;
        }
        double since = (System.nanoTime() - heard.at) / 1e9;
        return Math.max(0, Math.max(System.currentTimeMillis() / 1000.0 - heard.asOf, since));
    }

    private void follow() {
        long wait = FIRST_WAIT;
        long noStreamBefore = System.nanoTime();
        while (!Thread.currentThread().isInterrupted()) {
            long began = System.nanoTime();
            boolean caughtUp = false;
            try {
                discover();
                catchUp();
                caughtUp = true;
                trouble = null;
                if (began - noStreamBefore >= 0) {
                    stream();
                }
            } catch (InterruptedException error) {
                return;
            } catch (Exception | StackOverflowError error) { // whatever it is: who follows must not end
                trouble = error.getClass().getSimpleName() + ": " + error.getMessage();
                if (error instanceof HeldBack) {
                    noStreamBefore = in(HELD_BACK);
                }
                if (!caughtUp) {
                    feed = null; // the issuer may have moved it
                }
            }
            streaming = false;
            if (System.nanoTime() - began > PATIENCE * 1_000_000) {
                wait = FIRST_WAIT;
            }
            wait = Math.min(wait, caughtUp ? POLL : MOST_WAIT);
            try {
                // Not all who follow come back in one moment.
                Thread.sleep(wait + ThreadLocalRandom.current().nextLong(wait / 2));
            } catch (InterruptedException error) {
                return;
            }
            wait *= 2;
        }
    }

    private void discover() throws Exception {
        if (feed != null) {
            return;
        }
        Map<?, ?> metadata = object(read(issuer + METADATA, MOST_METADATA));
        if (!issuer.equals(metadata.get("issuer"))) {
            throw new Unusable("metadata of another issuer");
        }
        String feed = atHome(metadata.get("revocation_feed_endpoint"));
        keys = atHome(metadata.get("jwks_uri"));
        this.feed = feed;
        toldKeys.countDown();
    }

    /** By the text: whatever follows the slash, the host is the issuer's. */
    private String atHome(Object uri) throws Unusable {
        if (uri instanceof String text && text.startsWith(issuer + "/")
                && text.chars().allMatch(one -> one >= '!' && one <= '~' && one != '#')) {
            return text;
        }
        throw new Unusable("an address outside the issuer, or none");
    }

    /** Pages until there are no more. What begins anew is put together aside: nothing revoked passes meanwhile. */
    private void catchUp() throws Exception {
        String cursor = this.cursor;
        Map<What, Long> anew = cursor == null ? new ConcurrentHashMap<>() : null;
        for (int pages = 0; pages < MOST_PAGES; pages++) {
            Map<?, ?> page = object(read(feedFrom(cursor), MOST_PAGE));
            boolean good = page.get("cursor") instanceof String && isCount(page.get("as_of"));
            if (!good || !(page.get("entries") instanceof List<?> entries)) {
                throw new Unusable("no page of a feed");
            }
            if (Boolean.TRUE.equals(page.get("reset"))) {
                anew = new ConcurrentHashMap<>();
            }
            for (Object entry : entries) {
                put(anew == null ? known : anew, entry);
            }
            cursor = (String) page.get("cursor");
            if (Boolean.TRUE.equals(page.get("more"))) {
                continue;
            }
            long asOf = (Long) page.get("as_of");
            if (anew != null) {
                // A node that lags behind the last one takes nothing back.
                if (told > asOf) {
                    Map<What, Long> all = anew;
                    known.forEach((what, until) -> all.merge(what, until, Math::max));
                }
                known = anew;
            }
            this.cursor = cursor;
            heard(asOf);
            return;
        }
        throw new Unusable("a feed without an end");
    }

    /** Takes what comes, for as long as it comes. Returns where everything is to be learned anew. */
    private void stream() throws Exception {
        try (Body body = ask(feedFrom(cursor), "text/event-stream")) {
            Events events = new Events();
            long patience = in(FIRST_WORD);
            for (byte[] part = body.next(patience); part != null; part = body.next(patience)) {
                for (Event event : events.of(part)) {
                    streaming = true;
                    // After a whole event only: bytes that never become one are silence.
                    patience = in(SILENCE);
                    if (event.name.equals("reset")) {
                        cursor = null;
                        return;
                    }
                    if (event.name.equals("revoked")) {
                        put(known, Json.of(event.data));
                    } else if (event.name.equals("alive")) {
                        Object asOf = object(Json.of(event.data)).get("as_of");
                        if (!isCount(asOf)) {
                            throw new Unusable("no as_of");
                        }
                        heard((Long) asOf);
                    }
                    // After what it tells is done.
                    if (event.id != null) {
                        cursor = event.id;
                    }
                }
            }
            throw new Unusable("the stream ended");
        } catch (Late error) {
            throw streaming ? error : new HeldBack();
        }
    }

    private void heard(long asOf) {
        // Heard again, it is no news: a node that lost its database says the same for ever.
        if (asOf == told) {
            return;
        }
        told = asOf;
        double now = System.currentTimeMillis() / 1000.0;
        double slower = Math.min(asOf, now);
        if (Double.isNaN(heard.asOf) || slower > heard.asOf || heard.asOf > now) {
            heard = new Heard(slower, System.nanoTime());
        }
        if (System.nanoTime() - sweepAt >= 0) {
            sweepAt = in(SWEEP);
            known.values().removeIf(until -> until < slower);
        }
    }

    private String feedFrom(String cursor) {
        return cursor == null ? feed : feed + "?since=" + URLEncoder.encode(cursor, StandardCharsets.UTF_8);
    }

    private Object read(String uri, int limit) throws Exception {
        long deadline = in(PATIENCE);
        var whole = new ByteArrayOutputStream();
        try (Body body = ask(uri, "application/json")) {
            for (byte[] part = body.next(deadline); part != null; part = body.next(deadline)) {
                if (whole.size() + part.length > limit) {
                    throw new Unusable("the answer is too long");
                }
                whole.writeBytes(part);
            }
        }
        return Json.of(whole.toString(StandardCharsets.UTF_8));
    }

    private Body ask(String uri, String accept) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(uri)).header("Accept", accept).build();
        var asked = client.sendAsync(request, head -> new Body());
        try {
            HttpResponse<Body> response = asked.get(PATIENCE, TimeUnit.MILLISECONDS);
            String kind = response.headers().firstValue("Content-Type").orElse("");
            if (response.statusCode() != 200 || !kind.startsWith(accept)) {
                response.body().close();
                throw new Unusable("the issuer answered " + response.statusCode() + ", " + kind);
            }
            return response.body();
        } catch (TimeoutException error) {
            throw new Late();
        } catch (ExecutionException error) {
            throw error.getCause() instanceof IOException known ? known : error;
        } finally {
            asked.cancel(true); // nothing, where it is done
        }
    }

    private static long in(long milliseconds) {
        return System.nanoTime() + milliseconds * 1_000_000;
    }

    private static boolean isCount(Object value) {
        return value instanceof Long count && count >= 0 && count < 1L << 53;
    }

    private static Map<?, ?> object(Object value) throws Unusable {
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        throw new Unusable("no object");
    }

    /** Half an entry is refused, not passed over: it was a revocation. One of a kind to come is passed over. */
    private static void put(Map<What, Long> known, Object entry) throws Unusable {
        Map<?, ?> told = object(entry);
        Object uri = told.get("uri"), idx = told.get("idx"), kid = told.get("kid"), until = told.get("until");
        if (uri == null && idx == null && kid == null) {
            return;
        }
        boolean status = uri instanceof String && isCount(idx) && kid == null;
        boolean key = kid instanceof String && uri == null && idx == null;
        if (!status && !key || !isCount(until)) {
            throw new Unusable("half an entry of a feed");
        }
        // One text a list, however many entries: as the table of texts of the machine has it.
        What what = key ? new What("", 0, (String) kid) : new What(((String) uri).intern(), (Long) idx, "");
        known.merge(what, (Long) until, Math::max);
        if (known.size() > MOST_ENTRIES) {
            throw new Unusable("too many entries");
        }
    }

    /** An answer as it comes, with an instant by which each part has to be here. */
    private static final class Body implements HttpResponse.BodySubscriber<Body>, AutoCloseable {
        private static final Object END = new Object();
        private final BlockingQueue<Object> parts = new LinkedBlockingQueue<>();
        private Flow.Subscription subscription;
        private boolean closed;

        /** Null at the end. */
        byte[] next(long deadline) throws IOException, InterruptedException {
            Object part = parts.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (part == null || deadline - System.nanoTime() < 0) {
                throw new Late();
            }
            if (part instanceof Throwable error) {
                throw new IOException(error);
            }
            if (part == END) {
                return null;
            }
            var bytes = new ByteArrayOutputStream();
            for (Object buffer : (List<?>) part) {
                byte[] some = new byte[((ByteBuffer) buffer).remaining()];
                ((ByteBuffer) buffer).get(some);
                bytes.writeBytes(some);
            }
            more();
            return bytes.toByteArray();
        }

        private synchronized void more() {
            subscription.request(1);
        }

        @Override
        public synchronized void close() {
            closed = true;
            if (subscription != null) {
                subscription.cancel();
            }
        }

        @Override
        public CompletionStage<Body> getBody() {
            return CompletableFuture.completedFuture(this);
        }

        @Override
        public synchronized void onSubscribe(Flow.Subscription subscription) {
            this.subscription = subscription;
            if (closed) {
                subscription.cancel();
            } else {
                subscription.request(1);
            }
        }

        @Override
        public void onNext(List<ByteBuffer> part) {
            parts.add(part);
        }

        @Override
        public void onError(Throwable error) {
            parts.add(error);
        }

        @Override
        public void onComplete() {
            parts.add(END);
        }
    }

    private record Event(String name, String id, String data) {}

    /** Server-sent events, as far as the feed has them. */
    private static final class Events {
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private String name = "", id, data;
        private int size;

        List<Event> of(byte[] part) throws Unusable {
            List<Event> whole = new ArrayList<>();
            for (byte one : part) {
                if (one != '\n') {
                    if (++size > MOST_EVENT) {
                        throw new Unusable("an event without an end");
                    }
                    line.write(one);
                    continue;
                }
                String text = line.toString(StandardCharsets.UTF_8);
                line.reset();
                text = text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
                if (!text.isEmpty()) {
                    field(text);
                    continue;
                }
                if (data != null) {
                    whole.add(new Event(name, id, data));
                }
                name = "";
                id = data = null;
                size = 0;
            }
            return whole;
        }

        private void field(String text) {
            int colon = text.indexOf(':');
            String field = colon < 0 ? text : text.substring(0, colon);
            String value = colon < 0 ? "" : text.substring(colon + 1);
            value = value.startsWith(" ") ? value.substring(1) : value;
            switch (field) {
                case "event" -> name = value;
                case "id" -> id = value;
                case "data" -> data = data == null ? value : data + "\n" + value;
                default -> { }
            }
        }
    }

    /** JSON (RFC 8259), as Java brings none: Map, List, String, Long, Double, Boolean, null. */
    private static final class Json {
        private static final int DEEPEST = 32;
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Object of(String text) throws Unusable {
            Json json = new Json(text);
            Object value = json.value(0);
            json.space();
            if (json.at != text.length()) {
                throw json.wrong();
            }
            return value;
        }

        private Object value(int depth) throws Unusable {
            space();
            if (depth > DEEPEST) {
                throw wrong();
            }
            return switch (peek()) {
                case '{' -> object(depth);
                case '[' -> array(depth);
                case '"' -> string();
                case 't' -> word("true", true);
                case 'f' -> word("false", false);
                case 'n' -> word("null", null);
                default -> number();
            };
        }

        private Map<String, Object> object(int depth) throws Unusable {
            Map<String, Object> members = new LinkedHashMap<>();
            at++;
            space();
            if (took('}')) {
                return members;
            }
            do {
                space();
                if (peek() != '"') {
                    throw wrong();
                }
                String name = string();
                space();
                if (!took(':') || members.containsKey(name)) {
                    throw wrong();
                }
                members.put(name, value(depth + 1));
                space();
            } while (took(','));
            if (!took('}')) {
                throw wrong();
            }
            return members;
        }

        private List<Object> array(int depth) throws Unusable {
            List<Object> values = new ArrayList<>();
            at++;
            space();
            if (took(']')) {
                return values;
            }
            do {
                values.add(value(depth + 1));
                space();
            } while (took(','));
            if (!took(']')) {
                throw wrong();
            }
            return values;
        }

        private String string() throws Unusable {
            var found = new StringBuilder();
            for (at++; peek() != '"'; at++) {
                char one = text.charAt(at);
                if (one < ' ') {
                    throw wrong();
                }
                found.append(one == '\\' ? escaped() : one);
            }
            at++;
            return found.toString();
        }

        private char escaped() throws Unusable {
            at++;
            char one = peek();
            if (one == 'u') {
                at += 4;
                String digits = at < text.length() ? text.substring(at - 3, at + 1) : "";
                if (!digits.matches("[0-9a-fA-F]{4}")) {
                    throw wrong();
                }
                return (char) Integer.parseInt(digits, 16);
            }
            int place = "\"\\/bfnrt".indexOf(one);
            if (place < 0) {
                throw wrong();
            }
            return "\"\\/\b\f\n\r\t".charAt(place);
        }

        private Object number() throws Unusable {
            int from = at;
            while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            String number = text.substring(from, at);
            if (number.length() > 40 || !number.matches("-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?")) {
                throw wrong();
            }
            boolean whole = number.matches("-?\\d{1,18}");
            return whole ? (Object) Long.valueOf(number) : (Object) Double.valueOf(number);
        }

        private Object word(String word, Object value) throws Unusable {
            if (!text.startsWith(word, at)) {
                throw wrong();
            }
            at += word.length();
            return value;
        }

        private void space() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private boolean took(char one) {
            boolean there = at < text.length() && text.charAt(at) == one;
            at += there ? 1 : 0;
            return there;
        }

        private char peek() throws Unusable {
            if (at >= text.length()) {
                throw wrong();
            }
            return text.charAt(at);
        }

        private Unusable wrong() {
            return new Unusable("no JSON");
        }
    }
}
