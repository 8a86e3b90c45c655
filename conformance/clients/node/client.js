'use strict';
// Drives the official Node.js client through the conformance cases.
//
// Everything comes from the environment (see the README of the conformance module). One line per case is printed; the
// status is 1 if one of them failed. Each client object gets one topic: with two, startup() of this client hangs for
// ever on a server that answers Settings before the last route.

const env = process.env;
const tls = env.STRATA_TLS === '1';
if (tls) env.GRPC_DEFAULT_SSL_ROOTS_FILE_PATH = env.STRATA_CA; // read when grpc-js is loaded
const { createRequire } = require('node:module');
const { join } = require('node:path');
// The packages are installed outside the source tree; STRATA_NODE_MODULES says where.
const load = createRequire(join(env.STRATA_NODE_MODULES || join(__dirname, 'node_modules'), 'x.js'));
const { Producer, PushConsumer, SimpleConsumer, ConsumeResult } = load('rocketmq-client-nodejs');

const prefix = env.STRATA_TOPIC_PREFIX;
const run = env.STRATA_RUN;
const poll = Number(env.STRATA_POLL_SECONDS || 5) * 1000;
const serverPoll = Number(env.STRATA_SERVER_POLL_SECONDS || 5) * 1000;

const receiveLimit = 30000, pushLimit = 60000, deadLetterLimit = 120000, requestTimeout = 3000;
const invisible = 10000; // milliseconds, the shortest that the protocol allows
// The server permits 4 MiB, but this client receives frames of at most 4 MiB: 4 KiB are left to the properties.
const permitted = 4 << 20, largest = permitted - 4096;

function expect(ok, why) {
  if (!ok) throw new Error(why);
}

const options = () => ({ endpoints: env.STRATA_ENDPOINT, namespace: '', sslEnabled: tls });

function message(topic, mark, body, tag) {
  return { topic, body: Buffer.from(body), tag, keys: [], properties: new Map([['run', run], ['mark', mark]]) };
}

// Everything that a normal message can carry: each byte value, Chinese text, a tag, keys, properties.
function richMessage(topic, mark) {
  const body = Buffer.concat([Buffer.from(`你好，世界。𠮷 ${run} `), Buffer.from(Array.from({ length: 256 }, (_, i) => i))]);
  const m = message(topic, mark, body, '订单-a');
  m.keys = [`key-${run}`, '键-二'];
  m.properties.set('城市', '上海市 浦东新区').set('empty-looking', ' x ');
  return m;
}

async function opened(client, use) {
  await client.startup();
  try {
    return await use(client);
  } finally {
    await client.shutdown();
  }
}

const newProducer = topic => new Producer({ ...options(), topics: [topic] });
const withProducer = (topic, use) => opened(newProducer(topic), use);
const send = m => withProducer(m.topic, async p => (await p.send(m)).messageId);

const newSimple = (topic, group, filter = '*') => new SimpleConsumer({
  ...options(), consumerGroup: group, subscriptions: new Map([[topic, filter]]), awaitDuration: poll,
});
const withSimple = (topic, group, use, filter) => opened(newSimple(topic, group, filter), use);

// Deliveries of this run to a push consumer's listener, in order.
class Deliveries {
  #waiting = [];
  #ready = [];
  put(view) {
    const taker = this.#waiting.shift();
    if (taker) taker(view); else this.#ready.push(view);
  }
  get empty() { return this.#ready.length === 0; }
  next(limit = pushLimit) {
    if (this.#ready.length) return Promise.resolve(this.#ready.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the listener was not called within ${limit} ms`)), limit);
      this.#waiting.push(view => { clearTimeout(timer); resolve(view); });
    });
  }
}

function newPush(topic, verdict) {
  const seen = new Deliveries();
  const consumer = new PushConsumer({
    ...options(), consumerGroup: topic, subscriptions: new Map([[topic, '*']]),
    messageListener: {
      async consume(view) {
        if (view.properties.get('run') !== run) return ConsumeResult.SUCCESS;
        seen.put({ id: view.messageId, attempt: view.deliveryAttempt, body: view.body });
        return verdict(view);
      },
    },
  });
  return { consumer, seen };
}

// Keeps the messages of this run and acknowledges the others.
async function own(consumer, views) {
  const mine = [];
  for (const v of views) {
    if (v.properties.get('run') === run) mine.push(v); else await consumer.ack(v);
  }
  return mine;
}

async function receive(consumer, n, invisibleFor, limit = receiveLimit) {
  const mine = [];
  for (const end = Date.now() + limit; mine.length < n;) {
    expect(Date.now() < end, `${mine.length} of ${n} messages within ${limit} ms`);
    mine.push(...await own(consumer, await consumer.receive(16, invisibleFor)));
  }
  return mine;
}

async function nothing(consumer, ms) {
  for (const end = Date.now() + ms; Date.now() < end;) {
    const again = await own(consumer, await consumer.receive(16, invisible));
    expect(again.length === 0, `message ${again[0]?.messageId} came again, attempt ${again[0]?.deliveryAttempt}`);
  }
}

function differences(sent, got) {
  const pairs = m => JSON.stringify([...m].sort());
  const wrong = [];
  const compare = (what, want, have) => {
    if (want !== have) wrong.push(`${what}: sent ${want}, received ${have}`);
  };
  compare('topic', sent.topic, got.topic);
  compare('length of the body', sent.body.length, got.body.length);
  compare('equal bodies', true, sent.body.equals(got.body));
  compare('tag', sent.tag || '', got.tag || '');
  compare('keys', JSON.stringify(sent.keys), JSON.stringify(got.keys));
  compare('properties', pairs(sent.properties), pairs(got.properties));
  compare('corrupted', false, Boolean(got.corrupted));
  return wrong;
}

async function roundTrip(sent, id) {
  await withSimple(sent.topic, sent.topic, async c => {
    const [got] = await receive(c, 1, 30000);
    await c.ack(got);
    expect(got.messageId === id, `sent ${id}, received ${got.messageId}`);
    expect(got.deliveryAttempt === 1, `first delivery has attempt ${got.deliveryAttempt}`);
    const wrong = differences(sent, got);
    expect(wrong.length === 0, wrong.join('; '));
  });
}

// Expects first once more, as attempt 2 and not before its invisible time.
async function again(c, first, since) {
  expect(first.deliveryAttempt === 1, `first delivery has attempt ${first.deliveryAttempt}`);
  const [second] = await receive(c, 1, 30000);
  const waited = Date.now() - since;
  expect(second.messageId === first.messageId, `${second.messageId} came instead of ${first.messageId}`);
  expect(second.deliveryAttempt === 2, `redelivery has attempt ${second.deliveryAttempt}, want 2`);
  expect(waited >= invisible - 2000, `redelivery after ${waited} ms, invisible for ${invisible} ms`);
  await c.ack(second);
}

async function attempts(seen, id) {
  for (const attempt of [1, 2]) {
    const d = await seen.next();
    expect(d.id === id && d.attempt === attempt, `delivery ${d.attempt} of ${d.id}, want ${attempt} of ${id}`);
  }
}

// Reads the dead-letter topic of the case's group. The topic may come into being with its first message, so a reader
// that cannot start yet is made again.
async function deadLetter(topic) {
  for (const end = Date.now() + deadLetterLimit; ;) {
    try {
      return await withSimple(`%DLQ%${topic}`, `${prefix}-dead-letter-reader`, async reader => {
        const [dead] = await receive(reader, 1, 30000, end - Date.now());
        await reader.ack(dead);
        return dead;
      });
    } catch (e) {
      if (Date.now() > end) throw e;
      console.error('reader of the dead letters:', String(e));
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }
}

const cases = {
  async 'send-sync'(topic) {
    const m = richMessage(topic, 'sync');
    await roundTrip(m, await send(m));
  },

  // This client's send is a promise: asynchronous is several of them in flight at once.
  async 'send-async'(topic) {
    const sent = Array.from({ length: 8 }, (_, i) => richMessage(topic, String(i)));
    const receipts = await withProducer(topic, p => Promise.all(sent.map(m => p.send(m))));
    await withSimple(topic, topic, async c => {
      const views = await receive(c, sent.length, 30000);
      for (const v of views) await c.ack(v);
      const wrong = sent.flatMap((m, i) => {
        const got = views.find(v => v.messageId === receipts[i].messageId);
        return got ? differences(m, got) : [`message ${i} is missing`];
      });
      expect(wrong.length === 0, wrong.join('; '));
    });
  },

  async 'largest-body'(topic) {
    const m = message(topic, 'largest', Buffer.from(Uint8Array.from({ length: largest }, (_, i) => i * 31 >> 3)));
    const id = await withProducer(topic, async p => {
      const refusal = await p.send(message(topic, 'too large', Buffer.alloc(permitted + 1))).catch(e => e);
      expect(/exceeds the threshold/.test(refusal.message), `a body of 4 MiB + 1: ${refusal}`);
      return (await p.send(m)).messageId;
    });
    await roundTrip(m, id);
  },

  async 'simple-receive-ack'(topic) {
    const sent = await withProducer(topic, async p => {
      const ids = [];
      for (let i = 0; i < 5; i++) ids.push((await p.send(message(topic, String(i), 'x'))).messageId);
      return ids.sort().join();
    });
    await withSimple(topic, topic, async c => {
      const views = await receive(c, 5, invisible);
      const got = views.map(v => v.messageId).sort().join();
      expect(got === sent, `sent ${sent}, received ${got}`);
      for (const v of views) await c.ack(v);
      await nothing(c, invisible + 2000);
    });
  },

  async 'simple-change-invisible'(topic) {
    await send(message(topic, 'change', 'x'));
    await withSimple(topic, topic, async c => {
      const [first] = await receive(c, 1, 300000);
      const changed = Date.now();
      await c.changeInvisibleDuration(first, invisible);
      await again(c, first, changed);
    });
  },

  async 'simple-expiry-redelivery'(topic) {
    await send(message(topic, 'expiry', 'x'));
    await withSimple(topic, topic, async c => {
      const [first] = await receive(c, 1, invisible);
      await again(c, first, Date.now());
    });
  },

  async 'push-success'(topic) {
    const { consumer, seen } = newPush(topic, () => ConsumeResult.SUCCESS);
    await opened(consumer, async () => {
      const want = new Set(await withProducer(topic, async p => {
        const ids = [];
        for (let i = 0; i < 10; i++) ids.push((await p.send(message(topic, String(i), `消息 ${i}`))).messageId);
        return ids;
      }));
      while (want.size) {
        const d = await seen.next();
        expect(want.delete(d.id) && d.attempt === 1 && d.body.toString().startsWith('消息 '),
          `unexpected delivery ${d.attempt} of ${d.id}`);
      }
    });
  },

  async 'push-retry'(topic) {
    const { consumer, seen } = newPush(topic, v => (v.deliveryAttempt === 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS));
    await opened(consumer, async () => attempts(seen, await send(message(topic, 'retry', 'x'))));
  },

  // The group allows two attempts; both fail and the message is then in the dead-letter topic.
  async 'push-dead-letter'(topic) {
    const { consumer, seen } = newPush(topic, () => ConsumeResult.FAILURE);
    await opened(consumer, async () => {
      const m = richMessage(topic, 'dead');
      await attempts(seen, await send(m));
      const dead = await deadLetter(topic);
      expect(dead.body.equals(m.body) && dead.tag === m.tag && String(dead.keys) === String(m.keys)
        && dead.properties.get('城市') === m.properties.get('城市'), 'the dead letter is not the message');
      expect(seen.empty, 'a delivery after the last attempt');
    });
  },

  async 'filter-tag'(topic) {
    const want = await withProducer(topic, async p => {
      const ids = [];
      for (const tag of ['订单', 'other', 'pay', undefined, '订单']) {
        const { messageId } = await p.send(message(topic, String(tag), 'x', tag));
        if (tag === '订单' || tag === 'pay') ids.push(messageId);
      }
      return ids;
    });
    await withSimple(topic, topic, async c => {
      const views = await receive(c, want.length, 30000);
      const got = views.map(v => v.messageId).sort().join();
      expect(got === want.sort().join(), `want ${want}, received ${got}`);
      for (const v of views) await c.ack(v);
      await nothing(c, 1000);
    }, '订单 || pay');
  },

  async 'unknown-topic'(topic) {
    await withProducer(topic, async p => {
      const e = await p.send(message(`${topic}-nowhere-${run}`, 'unknown', 'x')).catch(err => err);
      expect(e instanceof Error, 'a message to an unknown topic was sent');
      expect(e.code === 40402, `code ${e.code}, want 40402: ${e}`);
      console.error('unknown-topic: the client says:', String(e));
    });
  },

  async 'empty-poll'(topic) {
    await withSimple(topic, topic, async c => {
      for (let i = 0; i < 2; i++) {
        const started = Date.now();
        const views = await c.receive(16, invisible);
        const waited = Date.now() - started;
        expect(views.length === 0, `${views.length} messages`);
        expect(waited >= poll * 2 / 3 && waited <= poll + requestTimeout, `an empty poll of ${poll} ms took ${waited} ms`);
      }
    });
  },

  async shutdown(topic) {
    const producer = newProducer(topic), simple = newSimple(topic, topic);
    const { consumer, seen } = newPush(topic, () => ConsumeResult.SUCCESS);
    await producer.startup();
    await producer.send(message(topic, 'shutdown', 'x'));
    await simple.startup();
    await consumer.startup();
    await seen.next();
    for (const [name, client, bound] of [['producer', producer, 5000], ['simple consumer', simple, 5000],
      ['push consumer', consumer, serverPoll + requestTimeout + 5000]]) {
      const started = Date.now();
      await client.shutdown();
      const took = Date.now() - started;
      expect(took <= bound, `shutdown of the ${name} took ${took} ms, bound ${bound} ms`);
    }
  },
};

const onRequest = { // run only if STRATA_CASES names them
  // Leaves one client of each kind alone for STRATA_IDLE_SECONDS and expects all of them to work afterwards.
  async idle(topic) {
    const { consumer, seen } = newPush(topic, () => ConsumeResult.SUCCESS);
    await withProducer(topic, p => withSimple(topic, `${topic}-simple`, c => opened(consumer, async () => {
      await new Promise(resolve => setTimeout(resolve, Number(env.STRATA_IDLE_SECONDS || 5) * 1000));
      await p.send(message(topic, 'idle', 'x'));
      await seen.next();
      const [view] = await receive(c, 1, invisible);
      await c.ack(view);
    })));
  },
};

async function main() {
  const wanted = (env.STRATA_CASES || '').split(',').filter(Boolean);
  let failed = false;
  for (const [name, body] of Object.entries({ ...cases, ...(wanted.length ? onRequest : {}) })) {
    if (wanted.length && !wanted.includes(name)) continue;
    const started = Date.now();
    try {
      await body(`${prefix}-${name}`);
      console.log(`PASS ${name}`);
    } catch (e) {
      failed = true;
      console.error(e);
      console.log(`FAIL ${name}: ${String(e).replaceAll('\n', ' ')}`);
    }
    console.error(`${name} took ${((Date.now() - started) / 1000).toFixed(1)} s`);
  }
  // After a push consumer this client leaves timers behind, so the process would not end by itself.
  process.exit(failed ? 1 : 0);
}

main();
