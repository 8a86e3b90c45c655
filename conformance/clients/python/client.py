"""Drives the official Python client through the conformance cases.

Everything comes from the environment (see the README of the conformance module). One line per case is printed; the
status is 1 if one of them failed.
"""

import os
import queue
import sys
import time
import traceback

TLS = os.environ.get("STRATA_TLS") == "1"
if TLS:
    # gRPC reads this once, when its first channel is made; the client has no setting of its own for a root.
    os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = os.environ["STRATA_CA"]

from rocketmq import (ClientConfiguration, ConsumeResult, Credentials,  # noqa: E402
                      FilterExpression, Message, MessageListener, Producer, PushConsumer,
                      SimpleConsumer)

ENDPOINT = os.environ["STRATA_ENDPOINT"]
PREFIX = os.environ["STRATA_TOPIC_PREFIX"]
RUN = os.environ["STRATA_RUN"]
POLL = int(os.environ.get("STRATA_POLL_SECONDS", "5"))
SERVER_POLL = int(os.environ.get("STRATA_SERVER_POLL_SECONDS", "5"))
# RocketMQ answers 50001 to a receive that overtakes the Settings of its client; this broker has to serve it.
REFERENCE = os.environ.get("STRATA_REFERENCE") == "1"

RECEIVE_LIMIT, PUSH_LIMIT, DEAD_LETTER_LIMIT, REQUEST_TIMEOUT = 30, 60, 120, 3
INVISIBLE = 10  # seconds, the shortest that the protocol allows
LARGEST = 4 << 20  # bytes, what the server's Settings permit


class Failure(Exception):
    pass


def expect(ok, why):
    if not ok:
        raise Failure(why)


def configuration():
    return ClientConfiguration(ENDPOINT, Credentials())


class opened:
    """Starts a client and shuts it down at the end of the with block."""

    def __init__(self, client):
        self.client = client

    def __enter__(self):
        self.client.startup()
        return self.client

    def __exit__(self, *_):
        self.client.shutdown()


class Scope:
    """One case at work: it names the topic and the group after the case."""

    def __init__(self, name):
        self.topic = self.group = f"{PREFIX}-{name}"

    def message(self, mark, body, tag=None, topic=None):
        m = Message()
        m.topic, m.body = topic or self.topic, body
        if tag:
            m.tag = tag
        m.add_property("run", RUN)
        m.add_property("mark", mark)
        return m

    def rich_message(self, mark):
        """Everything that a normal message can carry: each byte value, Chinese text, a tag, keys, properties."""
        m = self.message(mark, f"你好，世界。𠮷 {RUN} ".encode() + bytes(range(256)), "订单-a")
        m.keys = f"key-{RUN}"
        m.keys = "键-二"
        m.add_property("城市", "上海市 浦东新区")
        m.add_property("empty-looking", " x ")
        return m

    def producer(self):
        return opened(Producer(configuration(), [self.topic], tls_enable=TLS))

    def send(self, message):
        with self.producer() as p:
            return p.send(message).message_id

    def simple(self, topic=None, group=None, expression="*"):
        return opened(SimpleConsumer(configuration(), group or self.group,
                                     {topic or self.topic: FilterExpression(expression)},
                                     await_duration=POLL, tls_enable=TLS))

    def push(self, verdict):
        """A push consumer that answers as verdict says, and the queue of this run's deliveries."""
        seen = queue.Queue()

        class Listener(MessageListener):
            def consume(self, m):
                if m.properties.get("run") != RUN:
                    return ConsumeResult.SUCCESS
                seen.put(m)
                return verdict(m)

        return opened(PushConsumer(configuration(), self.group, Listener(), {self.topic: FilterExpression()},
                                   tls_enable=TLS)), seen


def receive_once(consumer, invisible):
    try:
        return consumer.receive(16, invisible) or []
    except Exception as e:
        if REFERENCE and getattr(e, "code", None) == 50001:
            time.sleep(0.5)
            return []
        raise


def own(consumer, views):
    """Keeps the messages of this run and acknowledges the others."""
    mine = []
    for v in views:
        if v.properties.get("run") == RUN:
            mine.append(v)
        else:
            consumer.ack(v)
    return mine


def receive(consumer, n, invisible, limit=RECEIVE_LIMIT):
    mine, end = [], time.monotonic() + limit
    while len(mine) < n:
        expect(time.monotonic() < end, f"{len(mine)} of {n} messages within {limit} s")
        mine += own(consumer, receive_once(consumer, invisible))
    return mine


def nothing(consumer, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        again = own(consumer, receive_once(consumer, INVISIBLE))
        expect(not again, f"message {again[0].message_id} came again, attempt {again[0].delivery_attempt}"
               if again else "")


def next_of(seen, limit=PUSH_LIMIT):
    try:
        return seen.get(timeout=limit)
    except queue.Empty:
        raise Failure(f"the listener was not called within {limit} s") from None


def differences(sent, got):
    """In what a received message differs from the one sent. This client keeps keys in a set: their order is lost."""
    return [f"{what}: sent {want!r}, received {have!r}" for what, want, have in [
        ("topic", sent.topic, got.topic),
        ("body", sent.body[:400], got.body[:400]),
        ("length of the body", len(sent.body), len(got.body)),
        ("rest of the body", sent.body == got.body, True),
        ("tag", sent.tag, got.tag),
        ("keys", sorted(sent.keys), sorted(got.keys)),
        ("properties", dict(sent.properties), dict(got.properties)),
    ] if want != have]


def round_trip(s, sent, message_id):
    with s.simple() as c:
        got = receive(c, 1, 30)[0]
        c.ack(got)
    wrong = differences(sent, got)
    expect(got.message_id == message_id, f"sent {message_id}, received {got.message_id}")
    expect(got.delivery_attempt == 1, f"first delivery has attempt {got.delivery_attempt}")
    expect(not wrong, "; ".join(wrong))


def send_sync(s):
    m = s.rich_message("sync")
    round_trip(s, m, s.send(m))


def send_async(s):
    m = s.rich_message("async")
    with s.producer() as p:
        receipt = p.send_async(m).result(timeout=RECEIVE_LIMIT)
    round_trip(s, m, receipt.message_id)


def largest_body(s):
    with s.producer() as p:
        try:
            p.send(s.message("too large", bytes(LARGEST + 1)))
            raise Failure("a body of 4 MiB + 1 was sent")
        except Failure:
            raise
        except Exception as e:
            expect("exceeds the threshold" in str(e), f"a body of 4 MiB + 1: {e}")
        m = s.message("largest", bytes((i * 31 >> 3) & 255 for i in range(LARGEST)))
        receipt = p.send(m)
    round_trip(s, m, receipt.message_id)


def simple_receive_ack(s):
    with s.producer() as p:
        sent = sorted(p.send(s.message(str(i), b"x")).message_id for i in range(5))
    with s.simple() as c:
        views = receive(c, len(sent), INVISIBLE)
        got = sorted(v.message_id for v in views)
        expect(got == sent, f"sent {sent}, received {got}")
        for v in views:
            c.ack(v)
        nothing(c, INVISIBLE + 2)


def again(c, first, since):
    """Expects first once more, as attempt 2 and not before its invisible time."""
    expect(first.delivery_attempt == 1, f"first delivery has attempt {first.delivery_attempt}")
    second = receive(c, 1, 30)[0]
    waited = time.monotonic() - since
    expect(second.message_id == first.message_id, f"{second.message_id} came instead of {first.message_id}")
    expect(second.delivery_attempt == 2, f"redelivery has attempt {second.delivery_attempt}, want 2")
    expect(waited >= INVISIBLE - 2, f"redelivery after {waited:.1f} s, invisible for {INVISIBLE} s")
    c.ack(second)


def simple_change_invisible(s):
    s.send(s.message("change", b"x"))
    with s.simple() as c:
        first = receive(c, 1, 300)[0]
        changed = time.monotonic()
        c.change_invisible_duration(first, INVISIBLE)
        again(c, first, changed)


def simple_expiry_redelivery(s):
    s.send(s.message("expiry", b"x"))
    with s.simple() as c:
        first = receive(c, 1, INVISIBLE)[0]
        again(c, first, time.monotonic())


def push_success(s):
    consumer, seen = s.push(lambda m: ConsumeResult.SUCCESS)
    with consumer:
        with s.producer() as p:
            want = {p.send(s.message(str(i), f"消息 {i}".encode())).message_id for i in range(10)}
        while want:
            d = next_of(seen)
            expect(d.message_id in want and d.delivery_attempt == 1 and d.body.decode().startswith("消息 "),
                   f"unexpected delivery {d}")
            want.remove(d.message_id)


def push_retry(s):
    consumer, seen = s.push(
        lambda m: ConsumeResult.FAILURE if m.delivery_attempt == 1 else ConsumeResult.SUCCESS)
    with consumer:
        sent = s.send(s.message("retry", b"x"))
        for attempt in (1, 2):
            d = next_of(seen)
            expect((d.message_id, d.delivery_attempt) == (sent, attempt),
                   f"delivery {d.delivery_attempt} of {d.message_id}, want {attempt} of {sent}")


def dead_letter(s):
    """Reads the dead-letter topic of the case's group. The topic may come into being with its first message, so a
    reader that cannot start yet is made again."""
    end = time.monotonic() + DEAD_LETTER_LIMIT
    while True:
        try:
            with s.simple(f"%DLQ%{s.group}", f"{PREFIX}-dead-letter-reader") as reader:
                dead = receive(reader, 1, 30, end - time.monotonic())[0]
                reader.ack(dead)
                return dead
        except Exception as e:
            if time.monotonic() > end:
                raise
            print("reader of the dead letters:", e, file=sys.stderr)
            time.sleep(1)


def push_dead_letter(s):
    """The group allows two attempts; both fail and the message is then in the dead-letter topic."""
    consumer, seen = s.push(lambda m: ConsumeResult.FAILURE)
    with consumer:
        m = s.rich_message("dead")
        sent = s.send(m)
        for attempt in (1, 2):
            d = next_of(seen)
            expect((d.message_id, d.delivery_attempt) == (sent, attempt),
                   f"delivery {d.delivery_attempt} of {d.message_id}, want {attempt} of {sent}")
        dead = dead_letter(s)
        expect(dead.body == m.body and dead.tag == m.tag and set(dead.keys) == set(m.keys)
               and dead.properties.get("城市") == m.properties["城市"], f"the dead letter is not the message: {dead}")
        expect(seen.empty(), "a delivery after the last attempt")


def filter_tag(s):
    with s.producer() as p:
        want = []
        for tag in ("订单", "other", "pay", None, "订单"):
            sent = p.send(s.message(str(tag), b"x", tag)).message_id
            if tag in ("订单", "pay"):
                want.append(sent)
    with s.simple(expression="订单 || pay") as c:
        views = receive(c, len(want), 30)
        got = sorted(v.message_id for v in views)
        expect(got == sorted(want), f"want {sorted(want)}, received {got}")
        for v in views:
            c.ack(v)
        nothing(c, 1)


def unknown_topic(s):
    with s.producer() as p:
        try:
            p.send(s.message("unknown", b"x", topic=f"{s.topic}-nowhere-{RUN}"))
        except Exception as e:
            # The status is in this client's log only; what the caller gets is a bare exception.
            expect("failed to fetch topic" in str(e), f"{type(e).__name__}: {e}")
            print("unknown-topic: the client says:", e, file=sys.stderr)
            return
    raise Failure("a message to an unknown topic was sent")


def empty_poll(s):
    with s.simple() as c:
        if REFERENCE:
            receive_once(c, INVISIBLE)
        for _ in range(2):
            started = time.monotonic()
            views = c.receive(16, INVISIBLE)
            waited = time.monotonic() - started
            expect(not views, f"{len(views or [])} messages")
            expect(POLL * 2 / 3 <= waited <= POLL + REQUEST_TIMEOUT, f"an empty poll of {POLL} s took {waited:.1f} s")


def shutdown(s):
    producer, simple = s.producer().client, s.simple().client
    consumer, seen = s.push(lambda m: ConsumeResult.SUCCESS)
    producer.startup()
    producer.send(s.message("shutdown", b"x"))
    simple.startup()
    consumer.client.startup()
    next_of(seen)
    for name, client, bound in (("producer", producer, 5), ("simple consumer", simple, 5),
                                ("push consumer", consumer.client, SERVER_POLL + REQUEST_TIMEOUT + 5)):
        started = time.monotonic()
        client.shutdown()
        took = time.monotonic() - started
        expect(took <= bound, f"shutdown of the {name} took {took:.1f} s, bound {bound} s")


def idle(s):
    """Leaves one client of each kind alone for STRATA_IDLE_SECONDS and expects all of them to work afterwards."""
    push, seen = s.push(lambda m: ConsumeResult.SUCCESS)
    with s.producer() as p, s.simple(group=f"{s.group}-simple") as c, push:
        time.sleep(int(os.environ.get("STRATA_IDLE_SECONDS", "5")))
        p.send(s.message("idle", b"x"))
        next_of(seen)
        c.ack(receive(c, 1, INVISIBLE)[0])


CASES = [("send-sync", send_sync), ("send-async", send_async), ("largest-body", largest_body),
         ("simple-receive-ack", simple_receive_ack), ("simple-change-invisible", simple_change_invisible),
         ("simple-expiry-redelivery", simple_expiry_redelivery), ("push-success", push_success),
         ("push-retry", push_retry), ("push-dead-letter", push_dead_letter), ("filter-tag", filter_tag),
         ("unknown-topic", unknown_topic), ("empty-poll", empty_poll), ("shutdown", shutdown)]
ON_REQUEST = [("idle", idle)]  # run only if STRATA_CASES names them


def main():
    wanted = [c for c in os.environ.get("STRATA_CASES", "").split(",") if c]
    failed = False
    for name, case in CASES + (ON_REQUEST if wanted else []):
        if wanted and name not in wanted:
            continue
        started = time.monotonic()
        try:
            case(Scope(name))
            print(f"PASS {name}", flush=True)
        except Exception as e:
            failed = True
            if not isinstance(e, Failure):
                traceback.print_exc()
            print(f"FAIL {name}: {type(e).__name__}: {e}".replace("\n", " "), flush=True)
        print(f"{name} took {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
