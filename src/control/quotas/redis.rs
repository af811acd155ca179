// SPDX-License-Identifier: Apache-2.0
//! Quotas in a Redis or Valkey. Each order is a script that the server runs as one step, so several gateways never get
//! the same token. A key is a hash with a field for each gateway; a gateway says with each order how much it has had,
//! and a server that lost its memory learns that again, so that nobody gets a fresh quota from it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use crate::base::Tick;
use crate::config::plan::RedisPlan;
use crate::control::dial::Wire;
use crate::control::fetch::Client;
use crate::control::quotas::job::{Job, Settled};
use crate::control::resolve::SystemLookup;
use crate::net::machine;
use crate::policy::limit::parent::Outcome;
use crate::policy::rate_limit::Database;
use crate::wire::resp::{Reply, read_reply, write_command};

/// After a failure, nothing is tried for so long.
const AWAY_PAUSE: Duration = Duration::from_millis(250);
/// How long the server keeps a key after its window, in seconds: longer than clocks are apart.
const KEPT: u64 = 60 * 60;
/// Most bytes of replies that wait to be read.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// Commands that wait for the task: one batch of orders, and what administrators ask.
const COMMANDS_MAX: usize = 16;

/// Leases. The arguments are: the gateway, the quota, how much is wanted, what is owed, what the gateway has had in
/// all, the lifetime, and what counts are parts of (`Order::units`). `q` is what the other fields are parts of.
const LEASE: &str = "\
local me, quota, want, owed, total = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local units = tonumber(ARGV[7])
local all, scale = redis.call('HGETALL', KEYS[1]), units
for i = 1, #all, 2 do if all[i] == 'q' then scale = tonumber(all[i + 1]) end end
local mine, others = 0, 0
for i = 1, #all, 2 do
  if all[i] ~= 'q' then
    local count = tonumber(all[i + 1])
    if scale ~= units then
      count = math.ceil(count * units / scale)
      redis.call('HSET', KEYS[1], all[i], string.format('%.0f', count))
    end
    if all[i] == me then mine = count else others = others + count end
  end
end
mine = math.max(0, math.max(mine, total - owed) + owed)
local count = math.min(want, math.max(0, quota - mine - others))
mine = mine + count
redis.call('HSET', KEYS[1], 'q', string.format('%.0f', units), me, string.format('%.0f', mine))
redis.call('EXPIRE', KEYS[1], ARGV[6])
return {count, mine + others}";
/// What all gateways have had of a key, in parts of the quota that is the argument.
const USED: &str = "\
local all, scale, sum = redis.call('HGETALL', KEYS[1]), tonumber(ARGV[1]), 0
for i = 1, #all, 2 do
  if all[i] == 'q' then scale = tonumber(all[i + 1]) else sum = sum + tonumber(all[i + 1]) end
end
return math.ceil(sum * tonumber(ARGV[1]) / scale)";

/// The task that speaks with the server.
#[derive(Debug)]
pub(in crate::control) struct Redis {
    plan: Rc<RefCell<Arc<RedisPlan>>>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A key of a quota in one window.
#[derive(Clone, Debug)]
pub(in crate::control) struct KeyPlace {
    /// The quota's name.
    pub quota: Arc<str>,
    /// The key.
    pub key: u64,
    /// The first second of the window.
    pub start: u64,
}

#[derive(Debug)]
enum Command {
    Lease(Vec<Job>),
    /// How much is used, in parts of this.
    Used(KeyPlace, u32, oneshot::Sender<Result<u64, String>>),
    Reset(KeyPlace, oneshot::Sender<Result<u64, String>>),
}

impl Redis {
    /// Starts it; what becomes of batches goes to `settled`.
    pub(super) fn start(plan: &Arc<RedisPlan>, lookup: &Rc<SystemLookup>, settled: mpsc::Sender<Settled>) -> Redis {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let plan = Rc::new(RefCell::new(Arc::clone(plan)));
        let mut me = [0; 8];
        // Without randomness, two gateways with the same number would count as one, so the process's is a part of it.
        let _ = getrandom::fill(&mut me);
        let me = format!("g{:016x}{:x}", u64::from_le_bytes(me), std::process::id());
        let link = Link { plan: Rc::clone(&plan), lookup: Rc::clone(lookup), me, open: None, away: Tick::ZERO };
        let task = spawn_local(link.run(taken, settled)).abort_handle();
        Redis { plan, commands, task }
    }

    /// What a new plan says counts from the next connection on.
    pub(super) fn follow(&mut self, plan: &Arc<RedisPlan>) {
        self.plan.replace(Arc::clone(plan));
    }

    /// Sends a batch; gives it back where that is not possible.
    pub(super) fn send(&self, jobs: Vec<Job>) -> Option<Vec<Job>> {
        match self.commands.try_send(Command::Lease(jobs)) {
            Ok(()) => None,
            Err(refused) => match refused.into_inner() {
                Command::Lease(jobs) => Some(jobs),
                Command::Used(..) | Command::Reset(..) => None,
            },
        }
    }

    /// What all gateways have had of a key. The answer does not come where too much waits.
    pub(in crate::control) fn used(&self, at: KeyPlace, units: u32) -> oneshot::Receiver<Result<u64, String>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.try_send(Command::Used(at, units, reply));
        answer
    }

    /// Forgets what was used of a key.
    pub(in crate::control) fn reset(&self, at: KeyPlace) -> oneshot::Receiver<Result<u64, String>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.try_send(Command::Reset(at, reply));
        answer
    }
}

/// A connection to the server, made anew where it broke.
struct Link {
    plan: Rc<RefCell<Arc<RedisPlan>>>,
    lookup: Rc<SystemLookup>,
    me: String,
    open: Option<Box<dyn Wire>>,
    /// Nothing is tried before this.
    away: Tick,
}

impl Link {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, settled: mpsc::Sender<Settled>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Lease(jobs) => {
                    let done = self.lease(&jobs).await;
                    let done = match done {
                        Ok(outcomes) => {
                            let outcomes = jobs.into_iter().zip(outcomes).collect();
                            Settled { database: Database::Redis, outcomes, fault: None }
                        }
                        Err(fault) => Settled::failed(Database::Redis, jobs, fault),
                    };
                    if settled.send(done).await.is_err() {
                        return;
                    }
                }
                Command::Used(at, units, reply) => {
                    let (key, units) = (self.key(&at), units.to_string());
                    let parts: [&[u8]; 5] = [b"EVAL", USED.as_bytes(), b"1", &key, units.as_bytes()];
                    let _ = reply.send(self.number(&parts).await);
                }
                Command::Reset(at, reply) => {
                    let key = self.key(&at);
                    let _ = reply.send(self.number(&[b"DEL", &key]).await);
                }
            }
        }
    }

    async fn lease(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>, String> {
        let mut bytes = Vec::new();
        for Job { quota, order, .. } in jobs {
            let place = KeyPlace { quota: Arc::clone(quota), key: order.key, start: order.window.start };
            let key = self.key(&place);
            // From now to the end of the window by this gateway's clock; the server's may show something else.
            let lifetime = order.window.end.saturating_sub(machine::wall().seconds()) + KEPT;
            let numbers = [i64::from(order.quota), i64::from(order.want), order.owed].map(|number| number.to_string());
            let (total, lifetime, units) = (order.total.to_string(), lifetime.to_string(), order.units.to_string());
            let [quota, want, owed] = &numbers;
            let arguments = [&self.me, quota, want, owed, &total, &lifetime, &units];
            let mut parts: Vec<&[u8]> = vec![b"EVAL", LEASE.as_bytes(), b"1", &key];
            parts.extend(arguments.iter().map(|argument| argument.as_bytes()));
            write_command(&parts, &mut bytes);
        }
        let replies = self.exchange(bytes, jobs.len()).await?;
        replies.into_iter().map(|reply| outcome(&reply)).collect()
    }

    async fn number(&mut self, parts: &[&[u8]]) -> Result<u64, String> {
        let mut bytes = Vec::new();
        write_command(parts, &mut bytes);
        match self.exchange(bytes, 1).await?.pop() {
            Some(Reply::Integer(number)) => Ok(number.max(0).unsigned_abs()),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// Sends commands and reads so many replies, within the time that the plan says.
    async fn exchange(&mut self, bytes: Vec<u8>, count: usize) -> Result<Vec<Reply>, String> {
        let now = machine::now();
        if now < self.away {
            return Err("it did not answer a moment ago".to_owned());
        }
        let plan = Arc::clone(&self.plan.borrow());
        let outcome = match timeout(plan.timeout, self.try_exchange(&plan, &bytes, count)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        if outcome.is_err() {
            // A reply that comes late must not be taken for another's.
            self.open = None;
            self.away = machine::now().after(AWAY_PAUSE);
        }
        outcome
    }

    async fn try_exchange(&mut self, plan: &RedisPlan, bytes: &[u8], count: usize) -> Result<Vec<Reply>, String> {
        let stream = match &mut self.open {
            Some(stream) => stream,
            None => {
                let client = Client { lookup: Rc::clone(&self.lookup), tls: plan.tls.clone() };
                let mut stream = client.open(&plan.url).await?;
                greet(&mut stream, plan).await?;
                self.open.insert(stream)
            }
        };
        talk(stream, bytes, count).await
    }

    fn key(&self, at: &KeyPlace) -> Vec<u8> {
        format!("{}:quota:{}:{:016x}:{}", self.plan.borrow().prefix, at.quota, at.key, at.start).into_bytes()
    }
}

/// Logs in and chooses the database.
async fn greet(stream: &mut Box<dyn Wire>, plan: &RedisPlan) -> Result<(), String> {
    let mut bytes = Vec::new();
    let mut count = 0;
    if let Some(password) = &plan.password {
        let password = password.0.as_bytes();
        match &plan.username {
            Some(username) => write_command(&[b"AUTH", username.as_bytes(), password], &mut bytes),
            None => write_command(&[b"AUTH", password], &mut bytes),
        }
        count += 1;
    }
    if plan.database > 0 {
        write_command(&[b"SELECT", plan.database.to_string().as_bytes()], &mut bytes);
        count += 1;
    }
    if count == 0 {
        return Ok(());
    }
    let replies = talk(stream, &bytes, count).await?;
    match replies.iter().find(|reply| !matches!(reply, Reply::Simple(_))) {
        None => Ok(()),
        other => Err(unexpected(other)),
    }
}

async fn talk(stream: &mut Box<dyn Wire>, bytes: &[u8], count: usize) -> Result<Vec<Reply>, String> {
    let failed = |error: std::io::Error| error.to_string();
    // Replies are small, so the server does not wait for somebody to read them before it has read all commands.
    stream.write_all(bytes).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let (mut replies, mut buffer, mut done) = (Vec::with_capacity(count), Vec::new(), 0);
    while replies.len() < count {
        match read_reply(&buffer[done..]) {
            Ok(Some((reply, length))) => {
                replies.push(reply);
                done += length;
            }
            Ok(None) if buffer.len() - done > REPLY_BYTES_MAX => return Err("its reply is too long".to_owned()),
            Ok(None) => {
                buffer.drain(..done);
                done = 0;
                if stream.read_buf(&mut buffer).await.map_err(failed)? == 0 {
                    return Err("it closed the connection".to_owned());
                }
            }
            Err(_) => return Err("it does not speak the protocol of Redis".to_owned()),
        }
    }
    Ok(replies)
}

fn outcome(reply: &Reply) -> Result<Outcome, String> {
    if let Reply::Array(Some(list)) = reply
        && let [Reply::Integer(count), Reply::Integer(used)] = list[..]
        && let (Ok(count), Ok(used)) = (u32::try_from(count), u64::try_from(used))
    {
        return Ok(Outcome::Leased { count, used });
    }
    Err(unexpected(Some(reply)))
}

fn unexpected(reply: Option<&Reply>) -> String {
    match reply {
        Some(Reply::Error(words)) => format!("it says: {}", words.escape_debug()),
        Some(_) | None => "it gave an unexpected reply".to_owned(),
    }
}
