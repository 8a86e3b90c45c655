//! Drives the official Rust client through the conformance cases.
//!
//! Everything comes from the environment (see the README of the conformance module). One line per case is printed;
//! the status is 1 if one of them failed. The client has a producer and a simple consumer only; what it has no API
//! for is a SKIP with its reason.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::future::Future;
use std::process::exit;
use std::time::{Duration, Instant};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{MessageBuilder, MessageView};
use rocketmq::{Producer, SimpleConsumer};

type Outcome = Result<(), Box<dyn Error>>;

const RECEIVE_LIMIT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
const INVISIBLE: Duration = Duration::from_secs(10); // the shortest that the protocol allows
const PERMITTED: usize = 4 << 20; // bytes, what the server's Settings permit
const LARGEST: usize = PERMITTED - 4096; // this client receives frames of at most 4 MiB, properties included

/// One case at work: topic and group are named after the case.
struct Scope {
    topic: String,
    run: String,
    poll: Duration,
}

/// What a message is made of; the client's builder takes it apart again.
#[derive(Clone)]
struct Draft {
    topic: String,
    body: Vec<u8>,
    tag: Option<String>,
    keys: Vec<String>,
    properties: HashMap<String, String>,
}

fn fail<T>(why: String) -> Result<T, Box<dyn Error>> {
    Err(why.into())
}

fn expect(ok: bool, why: impl FnOnce() -> String) -> Outcome {
    if ok {
        Ok(())
    } else {
        fail(why())
    }
}

fn seconds(name: &str) -> Duration {
    let text = env::var(name).unwrap_or_default();
    Duration::from_secs(if text.is_empty() { 5 } else { text.parse().expect(name) })
}

fn tls() -> bool {
    env::var("STRATA_TLS").as_deref() == Ok("1")
}

fn client_option() -> ClientOption {
    let mut o = ClientOption::default();
    o.set_access_url(env::var("STRATA_ENDPOINT").expect("STRATA_ENDPOINT"));
    o.set_enable_tls(tls());
    o
}

impl Scope {
    fn new(name: &str) -> Self {
        Scope {
            topic: format!(
                "{}-{name}",
                env::var("STRATA_TOPIC_PREFIX").expect("STRATA_TOPIC_PREFIX")
            ),
            run: env::var("STRATA_RUN").expect("STRATA_RUN"),
            poll: seconds("STRATA_POLL_SECONDS"),
        }
    }

    fn draft(&self, mark: &str, body: Vec<u8>) -> Draft {
        Draft {
            topic: self.topic.clone(),
            body,
            tag: None,
            keys: vec![],
            properties: HashMap::from([("run".into(), self.run.clone()), ("mark".into(), mark.into())]),
        }
    }

    /// Everything that a normal message can carry: each byte value, Chinese text, a tag, keys, properties.
    fn rich(&self, mark: &str) -> Draft {
        let mut body = format!("你好，世界。𠮷 {} ", self.run).into_bytes();
        body.extend(0..=255u8);
        let mut d = self.draft(mark, body);
        d.tag = Some("订单-a".into());
        d.keys = vec![format!("key-{}", self.run), "键-二".into()];
        d.properties.insert("城市".into(), "上海市 浦东新区".into());
        d.properties.insert("empty-looking".into(), " x ".into());
        d
    }

    async fn producer(&self) -> Result<Producer, Box<dyn Error>> {
        let mut o = ProducerOption::default();
        o.set_topics(vec![self.topic.clone()]);
        let mut p = Producer::new(o, client_option())?;
        p.start().await?;
        Ok(p)
    }

    async fn simple(&self) -> Result<SimpleConsumer, Box<dyn Error>> {
        let mut o = SimpleConsumerOption::default();
        o.set_consumer_group(self.topic.clone());
        o.set_topics(vec![self.topic.clone()]);
        let mut client = client_option();
        client.set_long_polling_timeout(self.poll);
        let mut c = SimpleConsumer::new(o, client)?;
        c.start().await?;
        Ok(c)
    }

    async fn send(&self, d: &Draft) -> Result<String, Box<dyn Error>> {
        let p = self.producer().await?;
        let id = send_with(&p, d).await?;
        p.shutdown().await?;
        Ok(id)
    }

    /// Polls once, keeps the messages of this run and acknowledges the others.
    async fn receive_once(
        &self,
        c: &SimpleConsumer,
        filter: &str,
        invisible: Duration,
    ) -> Result<Vec<MessageView>, Box<dyn Error>> {
        let mut mine = vec![];
        for v in c
            .receive_with(
                &self.topic,
                &FilterExpression::new(FilterType::Tag, filter),
                16,
                invisible,
            )
            .await?
        {
            if v.properties().get("run") == Some(&self.run) {
                mine.push(v);
            } else {
                c.ack(&v).await?;
            }
        }
        Ok(mine)
    }

    async fn receive(
        &self,
        c: &SimpleConsumer,
        n: usize,
        filter: &str,
        invisible: Duration,
    ) -> Result<Vec<MessageView>, Box<dyn Error>> {
        let started = Instant::now();
        let mut mine = vec![];
        while mine.len() < n {
            if started.elapsed() > RECEIVE_LIMIT {
                return fail(format!("{} of {n} messages within {RECEIVE_LIMIT:?}", mine.len()));
            }
            mine.extend(self.receive_once(c, filter, invisible).await?);
        }
        Ok(mine)
    }

    async fn nothing(&self, c: &SimpleConsumer, filter: &str, d: Duration) -> Outcome {
        let started = Instant::now();
        while started.elapsed() < d {
            let again = self.receive_once(c, filter, INVISIBLE).await?;
            expect(again.is_empty(), || {
                format!("message {} came again", again[0].message_id())
            })?;
        }
        Ok(())
    }

    async fn round_trip(&self, sent: &Draft, id: &str) -> Outcome {
        let c = self.simple().await?;
        let views = self.receive(&c, 1, "*", Duration::from_secs(30)).await?;
        c.ack(&views[0]).await?;
        c.shutdown().await?;
        expect(views[0].message_id() == id, || {
            format!("sent {id}, received {}", views[0].message_id())
        })?;
        expect(views[0].delivery_attempt() == 1, || {
            format!("first delivery has attempt {}", views[0].delivery_attempt())
        })?;
        same(sent, &views[0])
    }
}

async fn send_with(p: &Producer, d: &Draft) -> Result<String, Box<dyn Error>> {
    let mut b = MessageBuilder::builder()
        .set_topic(d.topic.clone())
        .set_body(d.body.clone())
        .set_keys(d.keys.clone())
        .set_properties(d.properties.clone());
    if let Some(tag) = &d.tag {
        b = b.set_tag(tag.clone());
    }
    Ok(p.send(b.build()?).await?.message_id().to_string())
}

fn same(sent: &Draft, got: &MessageView) -> Outcome {
    expect(got.topic() == sent.topic, || {
        format!("topic: sent {}, received {}", sent.topic, got.topic())
    })?;
    expect(got.body() == sent.body, || {
        format!(
            "body: sent {} bytes, received {} other ones",
            sent.body.len(),
            got.body().len()
        )
    })?;
    expect(got.tag().unwrap_or("") == sent.tag.as_deref().unwrap_or(""), || {
        format!("tag: sent {:?}, received {:?}", sent.tag, got.tag())
    })?;
    expect(got.keys() == sent.keys, || {
        format!("keys: sent {:?}, received {:?}", sent.keys, got.keys())
    })?;
    expect(*got.properties() == sent.properties, || {
        format!(
            "properties: sent {:?}, received {:?}",
            sent.properties,
            got.properties()
        )
    })
}

fn ids(views: &[MessageView]) -> Vec<String> {
    let mut ids: Vec<_> = views.iter().map(|v| v.message_id().to_string()).collect();
    ids.sort();
    ids
}

async fn send_sync(s: Scope) -> Outcome {
    let d = s.rich("sync");
    let id = s.send(&d).await?;
    s.round_trip(&d, &id).await
}

/// Every call of this client is asynchronous: the case is several sends in flight at once.
async fn send_async(s: Scope) -> Outcome {
    let p = s.producer().await?;
    let drafts: Vec<_> = (0..4).map(|i| s.rich(&i.to_string())).collect();
    let (a, b, c, d) = tokio::join!(
        send_with(&p, &drafts[0]),
        send_with(&p, &drafts[1]),
        send_with(&p, &drafts[2]),
        send_with(&p, &drafts[3])
    );
    let sent = [a?, b?, c?, d?];
    p.shutdown().await?;
    let consumer = s.simple().await?;
    let views = s.receive(&consumer, sent.len(), "*", Duration::from_secs(30)).await?;
    for v in &views {
        consumer.ack(v).await?;
        match sent.iter().position(|id| id == v.message_id()) {
            Some(i) => same(&drafts[i], v)?,
            None => return fail(format!("{} was not sent", v.message_id())),
        }
    }
    consumer.shutdown().await?;
    Ok(())
}

/// The client has no limit of its own: the server refuses what is above 4 MiB.
async fn largest_body(s: Scope) -> Outcome {
    let p = s.producer().await?;
    match send_with(&p, &s.draft("too large", vec![0; PERMITTED + 1])).await {
        Ok(_) => return fail("a body of 4 MiB + 1 was sent".into()),
        Err(e) => expect(
            e.to_string().contains("MessageBodyTooLarge") || e.to_string().contains("MESSAGE_BODY_TOO_LARGE"),
            || format!("a body of 4 MiB + 1: {e}"),
        )?,
    }
    let d = s.draft("largest", (0..LARGEST).map(|i| (i * 31 >> 3) as u8).collect());
    let id = send_with(&p, &d).await?;
    p.shutdown().await?;
    s.round_trip(&d, &id).await
}

async fn simple_receive_ack(s: Scope) -> Outcome {
    let p = s.producer().await?;
    let mut sent = vec![];
    for i in 0..5 {
        sent.push(send_with(&p, &s.draft(&i.to_string(), b"x".to_vec())).await?);
    }
    sent.sort();
    p.shutdown().await?;
    let c = s.simple().await?;
    let views = s.receive(&c, sent.len(), "*", INVISIBLE).await?;
    expect(ids(&views) == sent, || {
        format!("sent {sent:?}, received {:?}", ids(&views))
    })?;
    for v in &views {
        c.ack(v).await?;
    }
    s.nothing(&c, "*", INVISIBLE + Duration::from_secs(2)).await?;
    c.shutdown().await?;
    Ok(())
}

async fn simple_expiry_redelivery(s: Scope) -> Outcome {
    let id = s.send(&s.draft("expiry", b"x".to_vec())).await?;
    let c = s.simple().await?;
    let first = s.receive(&c, 1, "*", INVISIBLE).await?;
    let since = Instant::now();
    expect(first[0].delivery_attempt() == 1, || {
        format!("first delivery has attempt {}", first[0].delivery_attempt())
    })?;
    let second = s.receive(&c, 1, "*", Duration::from_secs(30)).await?;
    let waited = since.elapsed();
    expect(second[0].message_id() == id, || {
        format!("{} came instead of {id}", second[0].message_id())
    })?;
    expect(second[0].delivery_attempt() == 2, || {
        format!("redelivery has attempt {}, want 2", second[0].delivery_attempt())
    })?;
    expect(waited >= INVISIBLE - Duration::from_secs(2), || {
        format!("redelivery after {waited:?}, invisible for {INVISIBLE:?}")
    })?;
    c.ack(&second[0]).await?;
    c.shutdown().await?;
    Ok(())
}

async fn filter_tag(s: Scope) -> Outcome {
    let p = s.producer().await?;
    let mut want = vec![];
    for tag in [Some("订单"), Some("other"), Some("pay"), None, Some("订单")] {
        let mut d = s.draft("tag", b"x".to_vec());
        d.tag = tag.map(String::from);
        let id = send_with(&p, &d).await?;
        if matches!(tag, Some("订单" | "pay")) {
            want.push(id);
        }
    }
    want.sort();
    p.shutdown().await?;
    let filter = "订单 || pay";
    let c = s.simple().await?;
    let views = s.receive(&c, want.len(), filter, Duration::from_secs(30)).await?;
    expect(ids(&views) == want, || {
        format!("want {want:?}, received {:?}", ids(&views))
    })?;
    for v in &views {
        c.ack(v).await?;
    }
    s.nothing(&c, filter, Duration::from_secs(1)).await?;
    c.shutdown().await?;
    Ok(())
}

async fn unknown_topic(s: Scope) -> Outcome {
    let p = s.producer().await?;
    let mut d = s.draft("unknown", b"x".to_vec());
    d.topic = format!("{}-nowhere-{}", s.topic, s.run);
    let e = match send_with(&p, &d).await {
        Ok(_) => return fail("a message to an unknown topic was sent".into()),
        Err(e) => e.to_string(),
    };
    p.shutdown().await?;
    eprintln!("unknown-topic: the client says: {e}");
    expect(e.contains("TOPIC_NOT_FOUND") || e.contains("40402"), || {
        format!("want TOPIC_NOT_FOUND, got {e}")
    })
}

/// The deadline of a receive of this client is its long poll exactly: the server has to answer a little before.
async fn empty_poll(s: Scope) -> Outcome {
    let c = s.simple().await?;
    for _ in 0..2 {
        let started = Instant::now();
        let views = s.receive_once(&c, "*", INVISIBLE).await?;
        let waited = started.elapsed();
        expect(views.is_empty(), || format!("{} messages", views.len()))?;
        expect(waited >= s.poll * 2 / 3 && waited <= s.poll + REQUEST_TIMEOUT, || {
            format!("an empty poll of {:?} took {waited:?}", s.poll)
        })?;
    }
    c.shutdown().await?;
    Ok(())
}

async fn shutdown(s: Scope) -> Outcome {
    let p = s.producer().await?;
    send_with(&p, &s.draft("shutdown", b"x".to_vec())).await?;
    let c = s.simple().await?;
    let views = s.receive(&c, 1, "*", INVISIBLE).await?;
    c.ack(&views[0]).await?;
    let started = Instant::now();
    p.shutdown().await?;
    c.shutdown().await?;
    expect(started.elapsed() <= Duration::from_secs(5), || {
        format!("shutdown took {:?}", started.elapsed())
    })
}

/// Leaves a producer and a consumer alone for STRATA_IDLE_SECONDS and expects both to work afterwards.
async fn idle(s: Scope) -> Outcome {
    let p = s.producer().await?;
    let c = s.simple().await?;
    tokio::time::sleep(seconds("STRATA_IDLE_SECONDS")).await;
    send_with(&p, &s.draft("idle", b"x".to_vec())).await?;
    let views = s.receive(&c, 1, "*", INVISIBLE).await?;
    c.ack(&views[0]).await?;
    p.shutdown().await?;
    c.shutdown().await?;
    Ok(())
}

/// The client's TLS never connects to a server with a certificate of its own. The case tries, so that the skip ends
/// when a version of the client can.
async fn tls_probe(name: &str) -> Result<String, String> {
    match Scope::new(name).producer().await {
        Ok(_) => Err("TLS works with this client now: run the cases and drop the skip".into()),
        Err(e) => Ok(format!("set_enable_tls(true) does not connect: {e}")),
    }
}

fn print_failure(name: &str, why: &str) {
    println!("FAIL {name}: {}", why.replace('\n', " "));
}

async fn report(name: &str, case: impl Future<Output = Outcome>) -> bool {
    let started = Instant::now();
    let result = case.await;
    match &result {
        Ok(()) => println!("PASS {name}"),
        Err(e) => print_failure(name, &e.to_string()),
    }
    eprintln!("{name} took {:.1} s", started.elapsed().as_secs_f64());
    result.is_ok()
}

#[tokio::main]
async fn main() {
    const NO_PUSH: &str = "this client has no push consumer";
    const CASES: [&str; 14] = [
        "send-sync",
        "send-async",
        "largest-body",
        "simple-receive-ack",
        "simple-change-invisible",
        "simple-expiry-redelivery",
        "push-success",
        "push-retry",
        "push-dead-letter",
        "filter-tag",
        "unknown-topic",
        "empty-poll",
        "shutdown",
        "idle", // runs only if STRATA_CASES names it
    ];
    let filter = env::var("STRATA_CASES").unwrap_or_default();
    let wanted: Vec<&str> = filter.split(',').filter(|c| !c.is_empty()).collect();
    let mut ok = true;
    for name in CASES {
        if wanted.is_empty() && name == "idle" || !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        if tls() {
            match tls_probe(name).await {
                Ok(reason) => println!("SKIP {name}: {}", reason.replace('\n', " ")),
                Err(why) => {
                    print_failure(name, &why);
                    ok = false;
                }
            }
            continue;
        }
        let s = Scope::new(name);
        ok &= match name {
            "send-sync" => report(name, send_sync(s)).await,
            "send-async" => report(name, send_async(s)).await,
            "largest-body" => report(name, largest_body(s)).await,
            "simple-receive-ack" => report(name, simple_receive_ack(s)).await,
            "simple-expiry-redelivery" => report(name, simple_expiry_redelivery(s)).await,
            "filter-tag" => report(name, filter_tag(s)).await,
            "unknown-topic" => report(name, unknown_topic(s)).await,
            "empty-poll" => report(name, empty_poll(s)).await,
            "shutdown" => report(name, shutdown(s)).await,
            "idle" => report(name, idle(s)).await,
            "simple-change-invisible" => {
                println!("SKIP {name}: this client has no call that changes the invisible time");
                true
            }
            _ => {
                println!("SKIP {name}: {NO_PUSH}");
                true
            }
        };
    }
    exit(if ok { 0 } else { 1 });
}
