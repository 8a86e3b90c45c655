import java.io.Closeable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/**
 * Drives the official Java client through the conformance cases.
 *
 * <p>Everything comes from the environment (see the README of the conformance module). One line per case is printed;
 * the status is 1 if one of them failed. It runs from its source: {@code java -cp 'lib/*' Client.java}.
 */
public class Client {
    static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
    static final String PREFIX = System.getenv("STRATA_TOPIC_PREFIX");
    static final String RUN = System.getenv("STRATA_RUN");
    static final Duration POLL = seconds("STRATA_POLL_SECONDS");
    static final Duration SERVER_POLL = seconds("STRATA_SERVER_POLL_SECONDS");

    static final Duration RECEIVE_LIMIT = Duration.ofSeconds(30);
    static final Duration PUSH_LIMIT = Duration.ofSeconds(60);
    static final Duration DEAD_LETTER_LIMIT = Duration.ofSeconds(120);
    static final Duration REQUEST_TIMEOUT = Duration.ofSeconds(3);
    static final Duration INVISIBLE = Duration.ofSeconds(10); // the shortest that the protocol allows
    static final int LARGEST = 4 << 20; // bytes, what the server's Settings permit

    interface Case {
        void run(Client scope) throws Exception;
    }

    interface Use<T, R> {
        R with(T client) throws Exception;
    }

    final String topic; // and group: one case at work has names of its own

    Client(String name) {
        topic = PREFIX + "-" + name;
    }

    public static void main(String[] args) {
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("send-sync", Client::sendSync);
        cases.put("send-async", Client::sendAsync);
        cases.put("largest-body", Client::largestBody);
        cases.put("simple-receive-ack", Client::simpleReceiveAck);
        cases.put("simple-change-invisible", Client::simpleChangeInvisible);
        cases.put("simple-expiry-redelivery", Client::simpleExpiryRedelivery);
        cases.put("push-success", Client::pushSuccess);
        cases.put("push-retry", Client::pushRetry);
        cases.put("push-dead-letter", Client::pushDeadLetter);
        cases.put("filter-tag", Client::filterTag);
        cases.put("unknown-topic", Client::unknownTopic);
        cases.put("empty-poll", Client::emptyPoll);
        cases.put("shutdown", Client::shutdown);
        String filter = System.getenv("STRATA_CASES");
        Set<String> wanted = new HashSet<>();
        if (filter != null && !filter.isEmpty()) {
            wanted.addAll(Arrays.asList(filter.split(",")));
            cases.put("idle", Client::idle); // runs only if it is named
        }
        boolean failed = false;
        for (Map.Entry<String, Case> c : cases.entrySet()) {
            if (!wanted.isEmpty() && !wanted.contains(c.getKey())) {
                continue;
            }
            long started = System.nanoTime();
            try {
                c.getValue().run(new Client(c.getKey()));
                System.out.println("PASS " + c.getKey());
            } catch (Throwable e) {
                failed = true;
                e.printStackTrace();
                System.out.println("FAIL " + c.getKey() + ": " + e.toString().replace('\n', ' '));
            }
            System.err.printf("%s took %.1f s%n", c.getKey(), since(started).toMillis() / 1e3);
        }
        if (failed) {
            System.exit(1);
        }
        // No System.exit on success: that the process ends by itself is part of a clean shutdown.
    }

    static Duration seconds(String name) {
        String v = System.getenv(name);
        return Duration.ofSeconds(v == null || v.isEmpty() ? 5 : Long.parseLong(v));
    }

    static Duration since(long nanoTime) {
        return Duration.ofNanos(System.nanoTime() - nanoTime);
    }

    static void expect(boolean ok, String why) {
        if (!ok) {
            throw new IllegalStateException(why);
        }
    }

    static ClientConfiguration configuration() {
        return ClientConfiguration.newBuilder().setEndpoints(System.getenv("STRATA_ENDPOINT"))
            .enableSsl("1".equals(System.getenv("STRATA_TLS"))).build();
    }

    /** Uses a client and closes it, also when the use failed. */
    static <T extends Closeable, R> R use(T client, Use<T, R> body) throws Exception {
        try (T c = client) {
            return body.with(c);
        }
    }

    Producer producer() throws ClientException {
        return PROVIDER.newProducerBuilder().setClientConfiguration(configuration()).setTopics(topic).build();
    }

    SimpleConsumer simple(String topic, String group, FilterExpression filter) throws ClientException {
        return PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration()).setConsumerGroup(group)
            .setAwaitDuration(POLL).setSubscriptionExpressions(Collections.singletonMap(topic, filter)).build();
    }

    SimpleConsumer simple() throws ClientException {
        return simple(topic, topic, FilterExpression.SUB_ALL);
    }

    /** A push consumer that answers as verdict says and puts the deliveries of this run into seen. */
    PushConsumer push(BlockingQueue<MessageView> seen, Function<MessageView, ConsumeResult> verdict) throws ClientException {
        return PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration()).setConsumerGroup(topic)
            .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
            .setMessageListener(view -> {
                if (!RUN.equals(view.getProperties().get("run"))) {
                    return ConsumeResult.SUCCESS;
                }
                seen.add(view);
                return verdict.apply(view);
            }).build();
    }

    MessageBuilder message(String topic, String mark, byte[] body) {
        return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body).addProperty("run", RUN).addProperty("mark", mark);
    }

    Message plain(String mark) {
        return message(topic, mark, new byte[] {'x'}).build();
    }

    /** Everything that a normal message can carry: each byte value, Chinese text, a tag, keys, properties. */
    Message rich(String mark) {
        byte[] text = ("你好，世界。𠮷 " + RUN + " ").getBytes(StandardCharsets.UTF_8);
        byte[] body = Arrays.copyOf(text, text.length + 256);
        for (int i = 0; i < 256; i++) {
            body[text.length + i] = (byte) i;
        }
        return message(topic, mark, body).setTag("订单-a").setKeys("key-" + RUN, "键-二")
            .addProperty("城市", "上海市 浦东新区").addProperty("empty-looking", " x ").build();
    }

    String send(Message m) throws Exception {
        return use(producer(), p -> p.send(m).getMessageId().toString());
    }

    /** Keeps the messages of this run and acknowledges the others. */
    static List<MessageView> own(SimpleConsumer c, List<MessageView> views) throws ClientException {
        List<MessageView> mine = new ArrayList<>();
        for (MessageView v : views) {
            if (RUN.equals(v.getProperties().get("run"))) {
                mine.add(v);
            } else {
                c.ack(v);
            }
        }
        return mine;
    }

    static List<MessageView> receive(SimpleConsumer c, int n, Duration invisible, Duration limit) throws ClientException {
        List<MessageView> mine = new ArrayList<>();
        for (long started = System.nanoTime(); mine.size() < n; ) {
            expect(since(started).compareTo(limit) < 0, mine.size() + " of " + n + " messages within " + limit);
            mine.addAll(own(c, c.receive(16, invisible)));
        }
        return mine;
    }

    static MessageView receiveOne(SimpleConsumer c, Duration invisible) throws ClientException {
        return receive(c, 1, invisible, RECEIVE_LIMIT).get(0);
    }

    static void nothing(SimpleConsumer c, Duration d) throws ClientException {
        for (long started = System.nanoTime(); since(started).compareTo(d) < 0; ) {
            List<MessageView> again = own(c, c.receive(16, INVISIBLE));
            expect(again.isEmpty(), "messages came again: " + again);
        }
    }

    static MessageView next(BlockingQueue<MessageView> seen) throws InterruptedException {
        MessageView v = seen.poll(PUSH_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        expect(v != null, "the listener was not called within " + PUSH_LIMIT);
        return v;
    }

    static byte[] bytes(ByteBuffer b) {
        byte[] copy = new byte[b.remaining()];
        b.duplicate().get(copy);
        return copy;
    }

    static List<String> ids(List<MessageView> views) {
        List<String> ids = new ArrayList<>();
        for (MessageView v : views) {
            ids.add(v.getMessageId().toString());
        }
        Collections.sort(ids);
        return ids;
    }

    static void compare(String what, Object sent, Object received) {
        expect(sent.equals(received), what + ": sent " + sent + ", received " + received);
    }

    static void same(Message sent, MessageView got) {
        compare("topic", sent.getTopic(), got.getTopic());
        compare("length of the body", sent.getBody().remaining(), got.getBody().remaining());
        expect(Arrays.equals(bytes(sent.getBody()), bytes(got.getBody())), "the body has other bytes");
        compare("tag", sent.getTag(), got.getTag());
        compare("keys", new ArrayList<>(sent.getKeys()), new ArrayList<>(got.getKeys()));
        compare("properties", new TreeMap<>(sent.getProperties()), new TreeMap<>(got.getProperties()));
    }

    void roundTrip(Message sent, String id) throws Exception {
        MessageView got = use(simple(), c -> {
            MessageView v = receiveOne(c, Duration.ofSeconds(30));
            c.ack(v);
            return v;
        });
        compare("message id", id, got.getMessageId().toString());
        compare("delivery attempt", 1, got.getDeliveryAttempt());
        same(sent, got);
    }

    void sendSync() throws Exception {
        Message m = rich("sync");
        roundTrip(m, send(m));
    }

    void sendAsync() throws Exception {
        Message m = rich("async");
        SendReceipt receipt = use(producer(), p -> p.sendAsync(m).get(30, TimeUnit.SECONDS));
        roundTrip(m, receipt.getMessageId().toString());
    }

    /** The client refuses by itself what is above the server's Settings. */
    void largestBody() throws Exception {
        byte[] body = new byte[LARGEST];
        for (int i = 0; i < LARGEST; i++) {
            body[i] = (byte) (i * 31 >> 3);
        }
        Message m = message(topic, "largest", body).build();
        String id = use(producer(), p -> {
            try {
                p.send(message(topic, "too large", new byte[LARGEST + 1]).build());
                expect(false, "a body of 4 MiB + 1 was sent");
            } catch (ClientException | IllegalArgumentException e) {
                expect(e.toString().contains("exceeds the threshold"), "a body of 4 MiB + 1: " + e);
            }
            return p.send(m).getMessageId().toString();
        });
        roundTrip(m, id);
    }

    void simpleReceiveAck() throws Exception {
        List<String> sent = use(producer(), p -> {
            List<String> ids = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                ids.add(p.send(plain(String.valueOf(i))).getMessageId().toString());
            }
            Collections.sort(ids);
            return ids;
        });
        use(simple(), c -> {
            List<MessageView> views = receive(c, sent.size(), INVISIBLE, RECEIVE_LIMIT);
            compare("message ids", sent, ids(views));
            for (MessageView v : views) {
                c.ack(v);
            }
            nothing(c, INVISIBLE.plusSeconds(2));
            return null;
        });
    }

    /** Expects first once more, as attempt 2 and not before its invisible time. */
    static void again(SimpleConsumer c, MessageView first, long since) throws ClientException {
        compare("first delivery attempt", 1, first.getDeliveryAttempt());
        MessageView second = receiveOne(c, Duration.ofSeconds(30));
        Duration waited = since(since);
        compare("message id", first.getMessageId(), second.getMessageId());
        compare("delivery attempt", 2, second.getDeliveryAttempt());
        expect(waited.compareTo(INVISIBLE.minusSeconds(2)) >= 0, "redelivery after " + waited + ", invisible for " + INVISIBLE);
        c.ack(second);
    }

    void simpleChangeInvisible() throws Exception {
        send(plain("change"));
        use(simple(), c -> {
            MessageView first = receiveOne(c, Duration.ofMinutes(5));
            long changed = System.nanoTime();
            c.changeInvisibleDuration(first, INVISIBLE);
            again(c, first, changed);
            return null;
        });
    }

    void simpleExpiryRedelivery() throws Exception {
        send(plain("expiry"));
        use(simple(), c -> {
            MessageView first = receiveOne(c, INVISIBLE);
            again(c, first, System.nanoTime());
            return null;
        });
    }

    void pushSuccess() throws Exception {
        BlockingQueue<MessageView> seen = new LinkedBlockingQueue<>();
        use(push(seen, v -> ConsumeResult.SUCCESS), c -> {
            Set<String> want = use(producer(), p -> {
                Set<String> ids = new HashSet<>();
                for (int i = 0; i < 10; i++) {
                    byte[] body = ("消息 " + i).getBytes(StandardCharsets.UTF_8);
                    ids.add(p.send(message(topic, String.valueOf(i), body).build()).getMessageId().toString());
                }
                return ids;
            });
            while (!want.isEmpty()) {
                MessageView v = next(seen);
                expect(want.remove(v.getMessageId().toString()) && v.getDeliveryAttempt() == 1
                    && new String(bytes(v.getBody()), StandardCharsets.UTF_8).startsWith("消息 "), "unexpected delivery " + v);
            }
            return null;
        });
    }

    static void attempts(BlockingQueue<MessageView> seen, String id) throws InterruptedException {
        for (int attempt = 1; attempt <= 2; attempt++) {
            MessageView v = next(seen);
            compare("message id", id, v.getMessageId().toString());
            compare("delivery attempt", attempt, v.getDeliveryAttempt());
        }
    }

    void pushRetry() throws Exception {
        BlockingQueue<MessageView> seen = new LinkedBlockingQueue<>();
        use(push(seen, v -> v.getDeliveryAttempt() == 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS), c -> {
            attempts(seen, send(plain("retry")));
            return null;
        });
    }

    /**
     * Reads the dead-letter topic of the case's group. The topic may come into being with its first message, so a
     * reader that cannot start yet is made again.
     */
    MessageView deadLetter() throws Exception {
        for (long started = System.nanoTime(); ; Thread.sleep(1000)) {
            try {
                Duration left = DEAD_LETTER_LIMIT.minus(since(started));
                return use(simple("%DLQ%" + topic, PREFIX + "-dead-letter-reader", FilterExpression.SUB_ALL), reader -> {
                    MessageView v = receive(reader, 1, Duration.ofSeconds(30), left).get(0);
                    reader.ack(v);
                    return v;
                });
            } catch (Exception e) {
                if (since(started).compareTo(DEAD_LETTER_LIMIT) > 0) {
                    throw e;
                }
                System.err.println("reader of the dead letters: " + e);
            }
        }
    }

    /** The group allows two attempts; both fail and the message is then in the dead-letter topic. */
    void pushDeadLetter() throws Exception {
        BlockingQueue<MessageView> seen = new LinkedBlockingQueue<>();
        use(push(seen, v -> ConsumeResult.FAILURE), c -> {
            Message m = rich("dead");
            attempts(seen, send(m));
            MessageView dead = deadLetter();
            expect(Arrays.equals(bytes(m.getBody()), bytes(dead.getBody())), "the dead letter has another body");
            compare("tag", m.getTag(), dead.getTag());
            compare("keys", new ArrayList<>(m.getKeys()), new ArrayList<>(dead.getKeys()));
            compare("property", m.getProperties().get("城市"), dead.getProperties().get("城市"));
            expect(seen.isEmpty(), "a delivery after the last attempt");
            return null;
        });
    }

    void filterTag() throws Exception {
        List<String> want = use(producer(), p -> {
            List<String> ids = new ArrayList<>();
            for (String tag : new String[] {"订单", "other", "pay", "", "订单"}) {
                MessageBuilder b = message(topic, "tag " + tag, new byte[] {'x'});
                String id = p.send((tag.isEmpty() ? b : b.setTag(tag)).build()).getMessageId().toString();
                if (tag.equals("订单") || tag.equals("pay")) {
                    ids.add(id);
                }
            }
            Collections.sort(ids);
            return ids;
        });
        use(simple(topic, topic, new FilterExpression("订单 || pay")), c -> {
            List<MessageView> views = receive(c, want.size(), Duration.ofSeconds(30), RECEIVE_LIMIT);
            compare("message ids", want, ids(views));
            for (MessageView v : views) {
                c.ack(v);
            }
            nothing(c, Duration.ofSeconds(1));
            return null;
        });
    }

    void unknownTopic() throws Exception {
        use(producer(), p -> {
            try {
                p.send(message(topic + "-nowhere-" + RUN, "unknown", new byte[] {'x'}).build());
            } catch (ClientException e) {
                expect(e.toString().contains("40402"), "want status 40402, got " + e);
                System.err.println("unknown-topic: the client says: " + e);
                return null;
            }
            throw new IllegalStateException("a message to an unknown topic was sent");
        });
    }

    void emptyPoll() throws Exception {
        use(simple(), c -> {
            for (int i = 0; i < 2; i++) {
                long started = System.nanoTime();
                List<MessageView> views = c.receive(16, INVISIBLE);
                Duration waited = since(started);
                expect(views.isEmpty(), views.size() + " messages");
                expect(waited.compareTo(POLL.multipliedBy(2).dividedBy(3)) >= 0
                    && waited.compareTo(POLL.plus(REQUEST_TIMEOUT)) <= 0, "an empty poll of " + POLL + " took " + waited);
            }
            return null;
        });
    }

    void shutdown() throws Exception {
        BlockingQueue<MessageView> seen = new LinkedBlockingQueue<>();
        Producer producer = producer();
        producer.send(plain("shutdown"));
        SimpleConsumer simple = simple();
        PushConsumer push = push(seen, v -> ConsumeResult.SUCCESS);
        next(seen);
        Map<Closeable, Duration> bounds = new HashMap<>();
        bounds.put(producer, Duration.ofSeconds(5));
        bounds.put(simple, Duration.ofSeconds(5));
        bounds.put(push, SERVER_POLL.plus(REQUEST_TIMEOUT).plusSeconds(5));
        for (Closeable client : Arrays.asList(producer, simple, push)) {
            long started = System.nanoTime();
            client.close();
            Duration took = since(started);
            expect(took.compareTo(bounds.get(client)) <= 0,
                "close of " + client.getClass().getSimpleName() + " took " + took + ", bound " + bounds.get(client));
        }
    }

    /** Leaves one client of each kind alone for STRATA_IDLE_SECONDS and expects all of them to work afterwards. */
    void idle() throws Exception {
        BlockingQueue<MessageView> seen = new LinkedBlockingQueue<>();
        use(producer(), p -> use(simple(topic, topic + "-simple", FilterExpression.SUB_ALL), c ->
            use(push(seen, v -> ConsumeResult.SUCCESS), push -> {
                Thread.sleep(seconds("STRATA_IDLE_SECONDS").toMillis());
                p.send(plain("idle"));
                next(seen);
                c.ack(receiveOne(c, INVISIBLE));
                return null;
            })));
    }
}
