// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rustls::ClientConfig;

use crate::certificate::client_trusting;
use crate::client::{Client, Lifetime, Outcome, Pace, Plan};
use crate::compare::Comparison;
use crate::copier;
use crate::failure::{Context, Failure};
use crate::gate;
use crate::hold::{Held, Target};
use crate::keys::Keys;
use crate::machine::{CLIENT_CORE, interrupted, pin, raise_descriptors, wake_sharply};
use crate::origin::Origin;
use crate::peer::{Peer, Programs};
use crate::process::Tree;
use crate::record::Quantiles;
use crate::reload::{Changes, Reload, Timed};
use crate::report;
use crate::stored::Stored;
use crate::stream::Streams;
use crate::workload::{EVENTS_PER_SECOND, Workload};

/// Load tests of Turnpike: comparison with nginx and HAProxy on one machine, and its parts alone.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the proxies in interleaved rounds and keep the results under loadtest/runs.
    Compare(CompareArguments),
    /// Hold a finished run against the bars; exit code 1 where one is missed.
    Gate(FolderArguments),
    /// Print the tables of a finished run, and draw its plot again.
    Report(FolderArguments),
    /// Run the origin alone.
    Origin(OriginArguments),
    /// Run the client alone against a URL.
    Load(LoadArguments),
    /// Open idle connections, one request on each, and hold them.
    Hold(HoldArguments),
    /// Open event streams and receive what comes on them: the processor time of an event, the memory of a stream.
    Streams(StreamsArguments),
    /// Run the copier alone: the floor of every proxy.
    Copy(CopyArguments),
    /// Measure reloads of a large configuration, and how long they hold up requests.
    Reload(ReloadArguments),
    /// Measure what it costs others that keys are made and revoked, and how long a revoked key is still good.
    Keys(Keys),
    /// Measure the start, the memory and a look-up of a gateway whose store holds many keys.
    Stored(Stored),
}

#[derive(Debug, Args)]
struct CompareArguments {
    /// The proxies, in the order of measuring.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "turnpike,nginx,haproxy,copier")]
    peers: Vec<Peer>,
    /// The workloads; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Rounds of each case.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each slice.
    #[arg(long, default_value_t = 0.6)]
    seconds: f64,
    /// Three short rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// The binary of turnpike.
    #[arg(long, default_value = "target/release/turnpike")]
    turnpike: PathBuf,
    /// Where runs are kept.
    #[arg(long, default_value = "loadtest/runs")]
    runs: PathBuf,
}

#[derive(Debug, Args)]
struct FolderArguments {
    /// The folder of the run.
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct OriginArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9000")]
    bind: SocketAddr,
    /// Events a second over all event streams together.
    #[arg(long, default_value_t = EVENTS_PER_SECOND)]
    events_per_second: u64,
}

#[derive(Debug, Args)]
struct LoadArguments {
    /// The URL: http://HOST:PORT/PATH or https://…
    url: String,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests a second of an open loop; a closed loop without it.
    #[arg(long)]
    rate: Option<u64>,
    /// A new connection for each request.
    #[arg(long)]
    no_keep_alive: bool,
    /// Send a POST with a body of so many bytes.
    #[arg(long)]
    post_bytes: Option<usize>,
    /// Certificates to trust, in PEM; the name in them must be `loadtest.example`.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// A process whose CPU time per request is reported, with all its children.
    #[arg(long)]
    pid: Option<u32>,
    /// The core to run on.
    #[arg(long, default_value_t = CLIENT_CORE)]
    core: usize,
}

#[derive(Debug, Args)]
struct HoldArguments {
    /// What to ask for on each: http://HOST:PORT/PATH
    url: String,
    /// Connections.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds for which they are held.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// A process whose memory per connection is reported, with all its children.
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Debug, Args)]
struct StreamsArguments {
    /// The URL of an event stream of `loadtest origin`: http://HOST:PORT/sse or https://…
    url: String,
    /// Streams, each on a connection of its own; with --http2, so many streams on each of --connections.
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// Speak HTTP/2: with prior knowledge, or by ALPN inside TLS.
    #[arg(long)]
    http2: bool,
    /// Connections of HTTP/2.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Seconds of receiving, after a warm-up of one.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Certificates to trust, in PEM; the name in them must be `loadtest.example`.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// A process whose CPU time per event and memory per stream are reported, with all its children.
    #[arg(long)]
    pid: Option<u32>,
    /// The core to run on.
    #[arg(long, default_value_t = CLIENT_CORE)]
    core: usize,
}

#[derive(Debug, Args)]
struct CopyArguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where to copy to.
    #[arg(long)]
    to: SocketAddr,
}

#[derive(Debug, Args)]
struct ReloadArguments {
    /// The binary of turnpike.
    #[arg(long, default_value = "target/release/turnpike")]
    turnpike: PathBuf,
    /// Data-plane threads.
    #[arg(long, default_value_t = 2)]
    shards: usize,
    /// Routes.
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
    /// Upstreams.
    #[arg(long, default_value_t = 0)]
    upstreams: usize,
    /// Rate limits.
    #[arg(long, default_value_t = 0)]
    policies: usize,
    /// Consumers with an API key.
    #[arg(long, default_value_t = 0)]
    consumers: usize,
    /// Connections that send a request each millisecond.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Reloads.
    #[arg(long, default_value_t = 5)]
    reloads: usize,
    /// What each reload changes.
    #[arg(long, value_enum, default_value = "one")]
    changes: Changes,
}

/// A URL in the parts that matter here.
struct Url {
    tls: bool,
    authority: String,
    path: String,
    address: SocketAddr,
}

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    // From here on ctrl-c only sets a flag, and everything that was started is stopped in order.
    interrupted();
    let result = match Arguments::parse().command {
        Command::Compare(arguments) => compare(arguments),
        Command::Gate(arguments) => judge(&arguments),
        Command::Report(arguments) => show(&arguments),
        Command::Origin(arguments) => run_origin(&arguments),
        Command::Load(arguments) => load(&arguments),
        Command::Hold(arguments) => hold(&arguments),
        Command::Streams(arguments) => receive_streams(&arguments),
        Command::Copy(arguments) => copier::run(arguments.listen, arguments.to).map(|()| ExitCode::SUCCESS),
        Command::Reload(arguments) => reload(arguments),
        Command::Keys(keys) => keys.run().and_then(show_outcome),
        Command::Stored(stored) => stored.run().and_then(show_outcome),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("loadtest: {failure}");
        ExitCode::FAILURE
    })
}

fn compare(arguments: CompareArguments) -> Result<ExitCode, Failure> {
    let all = || Workload::value_variants().to_vec();
    let (rounds, seconds, suffix) =
        if arguments.quick { (3, 0.25, "-quick") } else { (arguments.rounds, arguments.seconds, "") };
    let comparison = Comparison {
        peers: arguments.peers,
        workloads: if arguments.workloads.is_empty() { all() } else { arguments.workloads },
        rounds,
        slice: Duration::try_from_secs_f64(seconds).context("--seconds")?,
        programs: Programs { turnpike: arguments.turnpike },
        runs: arguments.runs,
        suffix: suffix.to_owned(),
    };
    let (folder, summary) = comparison.run()?;
    print!("{}", summary.text());
    println!("kept in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn judge(arguments: &FolderArguments) -> Result<ExitCode, Failure> {
    let verdicts = gate::judge(&report::write(&arguments.folder)?);
    print!("{}", gate::table(&verdicts));
    let met = verdicts.iter().all(gate::Verdict::passes);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(arguments: &FolderArguments) -> Result<ExitCode, Failure> {
    print!("{}", report::write(&arguments.folder)?.text());
    Ok(ExitCode::SUCCESS)
}

fn run_origin(arguments: &OriginArguments) -> Result<ExitCode, Failure> {
    raise_descriptors();
    let origin = Origin::start(arguments.bind, arguments.events_per_second)?;
    println!("origin on http://{} with /b/N, /count and /sse", origin.address());
    while !interrupted() {
        if !origin.is_alive() {
            return Err(Failure::new("the origin stopped by itself"));
        }
        thread::sleep(POLL);
    }
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &LoadArguments) -> Result<ExitCode, Failure> {
    let url = Url::parse(&arguments.url)?;
    raise_descriptors();
    pin(arguments.core)?;
    wake_sharply();
    let tls = url.trusting(arguments.trust.as_deref())?;
    let mut client = Client::new(Plan {
        target: url.address,
        tls,
        requests: vec![url.request(arguments.post_bytes)],
        body_bytes: None,
        connections: arguments.connections,
        lifetime: if arguments.no_keep_alive { Lifetime::PerRequest } else { Lifetime::KeepAlive },
    })?;
    let pace = arguments.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    let cpu = || arguments.pid.map(|pid| Tree::of(pid).cpu_ns()).transpose();
    let before = cpu()?;
    let outcome = client.run(pace, Duration::try_from_secs_f64(arguments.seconds).context("--seconds")?)?;
    print_outcome(&outcome);
    if let (Some(before), Some(after)) = (before, cpu()?) {
        let each = after.saturating_sub(before) as f64 / 1e3 / outcome.completed.max(1) as f64;
        println!("{each:.2} us of CPU for each request, without warm-up");
    }
    if let Some(pid) = arguments.pid {
        let memory = Tree::of(pid).memory();
        println!("RSS {} KiB, PSS {} KiB", memory.rss_kib, memory.pss_kib);
    }
    outcome.check()?;
    Ok(ExitCode::SUCCESS)
}

fn print_outcome(outcome: &Outcome) {
    let latency = Quantiles::from(outcome);
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    println!(
        "{} responses, {:.0} a second, {} bytes of bodies, {} errors",
        outcome.completed,
        outcome.per_second(),
        outcome.body_bytes,
        outcome.errors
    );
    println!(
        "p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, longest {:.0} us",
        us(latency.p50_ns),
        us(latency.p99_ns),
        us(latency.p999_ns),
        us(latency.max_ns)
    );
}

fn hold(arguments: &HoldArguments) -> Result<ExitCode, Failure> {
    let url = Url::parse(&arguments.url)?;
    if url.tls {
        return Err(Failure::new("hold speaks plain HTTP only"));
    }
    raise_descriptors();
    let memory = || arguments.pid.map(|pid| Tree::of(pid).memory());
    let before = memory();
    let target = Target::Http1 { address: url.address, request: url.request(None) };
    let held = Held::open(&target, arguments.connections)?;
    println!("{} connections held", arguments.connections);
    let mut left = Duration::try_from_secs_f64(arguments.seconds).context("--seconds")?;
    while !left.is_zero() && !interrupted() {
        let step = left.min(POLL);
        thread::sleep(step);
        left -= step;
    }
    if let (Some(before), Some(after)) = (before, memory()) {
        let grown = (after.rss_kib as f64 - before.rss_kib as f64) * 1024.0 / arguments.connections.max(1) as f64;
        println!("RSS {} -> {} KiB, {grown:.0} B for each connection", before.rss_kib, after.rss_kib);
    }
    println!("{} were closed by the other side", held.closed());
    Ok(ExitCode::SUCCESS)
}

fn receive_streams(arguments: &StreamsArguments) -> Result<ExitCode, Failure> {
    let url = Url::parse(&arguments.url)?;
    raise_descriptors();
    pin(arguments.core)?;
    wake_sharply();
    let tls = url.trusting(arguments.trust.as_deref())?;
    let tree = arguments.pid.map(Tree::of);
    let at_rest = tree.map(|tree| tree.memory().rss_kib);
    let mut streams = match arguments.http2 {
        false => Streams::open(url.address, tls.as_ref(), url.request(None), arguments.streams)?,
        true => Streams::open_http2(url.address, tls.as_ref(), &url.path, arguments.connections, arguments.streams)?,
    };
    let count = arguments.streams * if arguments.http2 { arguments.connections } else { 1 };
    streams.run(Duration::from_secs(1))?;
    let before = tree.map(|tree| tree.cpu_ns()).transpose()?;
    let events = streams.run(Duration::try_from_secs_f64(arguments.seconds).context("--seconds")?)?;
    println!(
        "{count} streams, {} events, {:.0} a second, in {} pieces",
        events.count,
        events.count as f64 / arguments.seconds,
        events.pieces
    );
    if let (Some(tree), Some(before), Some(at_rest)) = (tree, before, at_rest) {
        let spent = tree.cpu_ns()?.saturating_sub(before) as f64;
        println!("{:.2} us of CPU for each event", spent / 1e3 / events.count.max(1) as f64);
        let rss = tree.memory().rss_kib;
        let each = (rss as f64 - at_rest as f64) * 1024.0 / count.max(1) as f64;
        println!("RSS {at_rest} -> {rss} KiB, {each:.0} B for each stream");
    }
    Ok(ExitCode::SUCCESS)
}

fn reload(arguments: ReloadArguments) -> Result<ExitCode, Failure> {
    let ReloadArguments { turnpike, shards, routes, upstreams, policies, consumers, clients, reloads, changes } =
        arguments;
    let reload = Reload { turnpike, shards, routes, upstreams, policies, consumers, clients, reloads, changes };
    let outcome = reload.run()?;
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    println!("slowest response without a reload {} ms", ms(outcome.quiet));
    for (name, of) in
        [("reload", (|timed| timed.took) as fn(&Timed) -> Duration), ("slowest response", |timed| timed.stall)]
    {
        let mut times: Vec<Duration> = outcome.reloads.iter().map(of).collect();
        times.sort();
        if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
            println!("{name}: median {} ms, longest {} ms", ms(*median), ms(*most));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_outcome(outcome: impl std::fmt::Display) -> Result<ExitCode, Failure> {
    println!("{outcome}");
    Ok(ExitCode::SUCCESS)
}

impl Url {
    fn parse(text: &str) -> Result<Url, Failure> {
        let (scheme, rest) = text.split_once("://").context("a URL begins with http:// or https://")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(Failure(format!("{scheme} is neither http nor https"))),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let with_port = match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some(_) | None => format!("{authority}:{}", if tls { 443 } else { 80 }),
        };
        let mut addresses = with_port.to_socket_addrs().context(format_args!("the address of {authority}"))?;
        let address = addresses.next().context(format_args!("{authority} has no address"))?;
        Ok(Url { tls, authority: authority.to_owned(), path: format!("/{path}"), address })
    }

    /// How TLS is spoken with it, where it is.
    fn trusting(&self, file: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, Failure> {
        match (file, self.tls) {
            (Some(file), true) => {
                let trusted = fs::read(file).context("reading the certificates to trust")?;
                Ok(Some(client_trusting(&trusted)?))
            }
            (None, true) => Err(Failure::new("https needs --trust FILE with the certificate of the server")),
            (Some(_) | None, false) => Ok(None),
        }
    }

    fn request(&self, post_bytes: Option<usize>) -> Vec<u8> {
        let host = &self.authority;
        let Some(bytes) = post_bytes else {
            let request =
                format!("GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\nAccept: */*\r\n\r\n", self.path);
            return request.into_bytes();
        };
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\nContent-Length: {bytes}\r\n\r\n",
            self.path
        );
        let mut request = head.into_bytes();
        request.resize(request.len() + bytes, b'x');
        request
    }
}

/// How often something that waits looks for ctrl-c.
const POLL: Duration = Duration::from_millis(100);
