//! Chaos: three processes and a broker, a story with planted attacks, and everything that happens to machines, in an
//! order that is drawn. At the end the alerts are those of `tripline replay`: none lost, none twice, none wrong; and
//! each was told to the one who is told.
//!
//! `CHAOS_KILLS` says how many processes are killed (10), with about as many other accidents in between; `CHAOS_SEED`
//! repeats the order of a run:
//!
//!     CHAOS_KILLS=300 cargo test --test tripline chaos
//!
//! `CHAOS_ONLY=Broker` has no accidents but these besides the kills, by their names in `Accident`.
//!
//! The broker is asked to end and started again; `CHAOS_BROKER=kill` has it killed. A single Apache Kafka 4.4.0 forgets
//! now and then to end transactions, with any client: see `forgotten`, where it is helped.

mod forgotten;
mod own_broker;
mod proxy;
mod receiver;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    forgotten::Forgotten,
    own_broker::{OwnBroker, SEATS},
    proxy::Proxy,
    receiver::Receiver,
    watch::Watch,
};
use super::{
    broker::unique_prefix,
    e2e::{
        process::{Process, Site, until},
        story::{Dice, Entry, RULES, Writer, epilogue, ids, inputs, make_topics, opening, replay, sorted, story},
    },
};
/// Of each input.
const EVENT_PARTITIONS: u32 = 4;
const SIGNAL_PARTITIONS: u32 = 6;
/// How fast the story is told.
const SCENES_PER_SECOND: u64 = 40;
/// So much faster while more comes than is worked off.
const FLOOD: usize = 50;
/// What a correlate line takes in at once. It commits after each alert, so a small number makes it slow.
const BATCH_RECORDS: u64 = 2;
/// What is fetched ahead for a line, and so its mailbox: so many records, beyond which nothing is fetched, and one fetch
/// of so many bytes, or of one batch of so many records.
const MAILBOX_RECORDS: u64 = 8;
const FETCH_BYTES: u64 = 4096;
const PRODUCER_BATCH_RECORDS: u64 = 16;
/// No record takes less.
const RECORD_BYTES_MIN: u64 = 32;
/// What one kill and the accidents beside it take at most, and how long a flood lasts; only so much story is made up.
const SECONDS_PER_KILL: u64 = 60;
const SECONDS_PER_FLOOD: u64 = 20;
/// A partition is back by then.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Accident {
    /// SIGKILL of a process.
    Kill,
    /// SIGSTOP, until its partitions are another's.
    Suspend,
    /// Nothing passes between a process and the broker, until its partitions are another's.
    Cut,
    /// The broker ends and is started again.
    Broker,
    /// A process leaves and returns.
    Rebalance,
    /// Other rules are pushed.
    Push,
    /// Who is told takes no alerts: they fill what there is, and wait in the log.
    Full,
    /// More comes than correlate works off: its mailbox is full, and the signals wait in the log.
    Flood,
}

/// How the story is told.
#[derive(Default)]
struct Pace {
    flooding: AtomicBool,
    over: AtomicBool,
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Not through the test's captured output: what a run prints is to be seen when it passes, too.
fn say(what: &str) {
    writeln!(std::io::stderr(), "chaos: {what}").ok();
}

struct Fleet {
    // They end before what they stand on.
    processes: Vec<Option<Process>>,
    site: Arc<Site>,
    forgotten: Forgotten,
    broker: OwnBroker,
    proxies: Vec<Proxy>,
    watch: Watch,
    told: Receiver,
    pace: Arc<Pace>,
    pushes: u32,
    recoveries: Vec<Duration>,
    /// Ends the broker.
    broker_signal: &'static str,
}

/// Of the signals.
fn partitions_of(process: &Process) -> BTreeSet<u32> {
    process.lines("correlate").into_iter().map(|(_, partition)| partition).collect()
}

/// The most signals that wait, unread, for one of its lines: the log's end as it was told last, less what is read.
fn longest_wait(process: &Process) -> Option<u64> {
    let status = process.status();
    let line = |partition| status.lines.iter().find(|line| *line.stage == *"correlate" && line.partition == partition);
    let waiting = status.signals.iter().filter_map(|read| line(read.partition)?.end?.checked_sub(read.next));
    waiting.max()
}

impl Fleet {
    fn start() -> Fleet {
        let proxies: Vec<Proxy> = (0..SEATS).map(|_| Proxy::start()).collect();
        let broker = OwnBroker::start(std::array::from_fn(|seat| proxies[seat].port));
        proxies.iter().zip(broker.behind).for_each(|(proxy, port)| proxy.lead_to(port));
        let prefix = unique_prefix();
        let head = format!(
            "[kafka]\nbrokers = [\"{}\"]\ngroup = \"{prefix}\"\ntopic_prefix = \"{prefix}\"\nreplication = 1\n\
             [kafka.properties]\n\"session.timeout.ms\" = 3000\n\"heartbeat.interval.ms\" = 500\n\
             \"queued.min.messages\" = {MAILBOX_RECORDS}\n\"fetch.message.max.bytes\" = {FETCH_BYTES}\n\
             \"batch.num.messages\" = {PRODUCER_BATCH_RECORDS}\n[correlate]\nbatch_records_max = {BATCH_RECORDS}\n",
            broker.bootstrap
        );
        let told = Receiver::start();
        let sink =
            format!("[[sink]]\nname = \"told\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{}/\"\n", told.port);
        let configuration = format!("{head}{}[rules]\nsource = \"topic\"\n{sink}", inputs("10m"));
        let site = Arc::new(Site::on(&broker.bootstrap, prefix, RULES, &configuration));
        make_topics(&site, EVENT_PARTITIONS);
        assert!(push_rules(&site), "the rules are pushed");
        let first = seated(&site, &proxies, 0);
        let watch = Watch::start(&broker.bootstrap, &site.topic("alerts"), SIGNAL_PARTITIONS);
        let mut processes = vec![Some(first)];
        processes.extend((1..SEATS).map(|seat| Some(seated(&site, &proxies, seat))));
        until("work for everyone", || {
            let has_work = |process: &Process| !process.lines("correlate").is_empty();
            processes.iter().flatten().all(has_work).then_some(())
        });
        let forgotten = Forgotten::watch(&broker.bootstrap);
        let pace = Arc::default();
        let broker_signal = match env::var("CHAOS_BROKER").as_deref() {
            Ok("kill") => "-KILL",
            Ok(other) => panic!("CHAOS_BROKER={other}: it is `kill` or not there"),
            Err(_) => "-TERM",
        };
        Fleet {
            site,
            forgotten,
            broker,
            proxies,
            processes,
            watch,
            told,
            pace,
            pushes: 0,
            recoveries: Vec::new(),
            broker_signal,
        }
    }

    fn happen(&mut self, accident: Accident, dice: &mut Dice) {
        let seat = dice.roll(SEATS as u64) as usize;
        match accident {
            Accident::Kill => self.kill(seat, dice.roll(2) == 0),
            Accident::Suspend => {
                let had = self.work_of(seat);
                self.at(seat).suspend();
                self.await_others_at(&had, seat);
                self.at(seat).go_on();
            }
            Accident::Cut => {
                let had = self.work_of(seat);
                self.proxies[seat].cut();
                self.await_others_at(&had, seat);
                self.proxies[seat].mend();
            }
            Accident::Broker => {
                let _away = self.forgotten.hold();
                self.broker.restart(self.broker_signal);
            }
            Accident::Rebalance => {
                let status = self.at(seat).terminate();
                assert!(status.success(), "it was asked to end: {status}");
                self.seat_again(seat);
            }
            Accident::Push => self.push(),
            Accident::Full => self.fill(),
            Accident::Flood => self.flood(),
        }
        for process in self.processes.iter_mut().flatten() {
            assert_eq!(process.has_ended(), None, "a process gave up");
        }
    }

    fn at(&mut self, seat: usize) -> &mut Process {
        self.processes[seat].as_mut().expect("it runs")
    }

    fn seat_again(&mut self, seat: usize) {
        self.processes[seat] = Some(seated(&self.site, &self.proxies, seat));
    }

    /// The signals partitions that a process has; one that has just come back waits for its share.
    fn work_of(&mut self, seat: usize) -> BTreeSet<u32> {
        until("work for it", || Some(partitions_of(self.at(seat))).filter(|partitions| !partitions.is_empty()))
    }

    /// Waits until the others have taken over what the process of this seat had.
    fn await_others_at(&self, had: &BTreeSet<u32>, seat: usize) {
        until("others in its place", || {
            let others = self.processes.iter().enumerate().filter(|(other, _)| *other != seat);
            let theirs: BTreeSet<u32> =
                others.filter_map(|(_, other)| other.as_ref()).flat_map(partitions_of).collect();
            had.is_subset(&theirs).then_some(())
        });
    }

    /// Waits until each partition that the process had gives alerts again.
    fn kill(&mut self, seat: usize, returns_at_once: bool) {
        let partitions = self.work_of(seat);
        let process = self.processes[seat].take().expect("it runs");
        let killed_at = Instant::now();
        process.kill();
        let ends = self.watch.ends(&partitions);
        if returns_at_once {
            self.seat_again(seat);
        }
        let recovered = loop {
            let recovered = self.watch.first_after(&ends, killed_at);
            if recovered.len() == partitions.len() {
                break recovered;
            }
            assert!(killed_at.elapsed() < RECOVERY_MAX, "only {recovered:?} of {partitions:?} are back");
            thread::sleep(LOOK_AGAIN);
        };
        self.recoveries.extend(recovered.values());
        if !returns_at_once {
            self.seat_again(seat);
        }
    }

    /// Waits until every partition has more alerts, though nobody takes any.
    fn fill(&mut self) {
        self.told.set_full(true);
        let all = (0..SIGNAL_PARTITIONS).collect();
        let (ends, filled_at) = (self.watch.ends(&all), Instant::now());
        until("alerts in every partition", || {
            let is_held_up = |process: &Process| process.status().sinks.iter().any(|sink| sink.sending > 0);
            let held_up = self.processes.iter().flatten().any(is_held_up);
            (held_up && self.watch.first_after(&ends, filled_at).len() == ends.len()).then_some(())
        });
        self.told.set_full(false);
    }

    /// Tells the story so fast that a correlate line has more before it than its mailbox takes.
    fn flood(&mut self) {
        let mailbox = MAILBOX_RECORDS + PRODUCER_BATCH_RECORDS + FETCH_BYTES / RECORD_BYTES_MIN + BATCH_RECORDS;
        self.pace.flooding.store(true, Ordering::Release);
        let waiting = until("full mailbox", || {
            let longest = self.processes.iter().flatten().filter_map(longest_wait).max();
            longest.filter(|waiting| *waiting > mailbox)
        });
        self.pace.flooding.store(false, Ordering::Release);
        say(&format!("         {waiting} signals wait for a line that takes {mailbox}"));
    }

    /// Other rules of which none says anything about the story.
    fn push(&mut self) {
        self.pushes += 1;
        let number = self.pushes;
        let never = format!(
            "rule(#{{ id: \"never-{number}\", title: \"Never\", severity: \"low\", \
             events: #{{ one: |e| e.nothing == \"{number}\" }}, by: [\"user.name\"], within: \"1m\", \
             when: |w| w.one.count >= 2 }});\n"
        );
        // In a file of its own: a rule's version is that of its file, and is in its alerts.
        fs::write(self.site.path().join("rules/never.rhai"), never).expect("the rule");
        until("a push", || push_rules(&self.site).then_some(()));
    }

    fn report(&self) -> String {
        let mut recoveries = self.recoveries.clone();
        recoveries.sort();
        let seconds = |at: usize| recoveries.get(at).map_or(f64::NAN, Duration::as_secs_f64);
        format!(
            "kill to next alert of a partition, {} times: median {:.1} s, max {:.1} s",
            recoveries.len(),
            seconds(recoveries.len() / 2),
            seconds(recoveries.len().saturating_sub(1))
        )
    }
}

impl Drop for Fleet {
    /// Says what the processes said about state that they waited for, the dead ones too.
    fn drop(&mut self) {
        self.site.said_by_any("restore stands still").iter().for_each(|line| say(&line.to_string()));
    }
}

/// Whether the broker took the site's rules.
fn push_rules(site: &Site) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    let command = command.args(["rules", "push", "--config"]).arg(site.path().join("tripline.toml"));
    command.output().expect("the program starts").status.success()
}

/// One of the processes takes partitions over from nothing, the others follow the state that they don't have.
fn seated(site: &Site, proxies: &[Proxy], seat: usize) -> Process {
    let brokers = format!("127.0.0.1:{}", proxies[seat].port);
    let standby = (seat > 0).to_string();
    site.start_as(&[("TRIPLINE__KAFKA__BROKERS", &brokers), ("TRIPLINE__CORRELATE__STANDBY", &standby)])
}

/// So many kills, and other accidents among them, in an order that is drawn.
fn accidents(kills: u64, dice: &mut Dice) -> Vec<Accident> {
    let others = [
        Accident::Push,
        Accident::Suspend,
        Accident::Cut,
        Accident::Broker,
        Accident::Rebalance,
        Accident::Full,
        Accident::Flood,
        Accident::Push,
        Accident::Suspend,
        Accident::Cut,
    ];
    let only = env::var("CHAOS_ONLY").ok();
    let is_wanted = |accident: &Accident| only.as_ref().is_none_or(|only| *only == format!("{accident:?}"));
    let others: Vec<Accident> = others.into_iter().filter(is_wanted).collect();
    assert!(!others.is_empty(), "CHAOS_ONLY={only:?} is no accident");
    let others = others.into_iter().cycle().take(kills as usize);
    let mut all: Vec<Accident> = std::iter::repeat_n(Accident::Kill, kills as usize).chain(others).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, dice.roll(last as u64 + 1) as usize);
    }
    all
}

/// Tells the story from a thread of its own until it is over; gives what was told.
fn tell(site: &Arc<Site>, entries: Vec<Entry>, pace: &Arc<Pace>) -> thread::JoinHandle<Vec<Entry>> {
    let (site, pace) = (site.clone(), pace.clone());
    thread::spawn(move || {
        let writer = Writer::of(&site);
        let step = Duration::from_millis(100);
        let at_once = (SCENES_PER_SECOND as usize * 12 / 10).div_ceil(10);
        let (mut told, mut untold) = (0, &entries[..]);
        while !pace.over.load(Ordering::Acquire) && !untold.is_empty() {
            let many = if pace.flooding.load(Ordering::Acquire) { FLOOD * at_once } else { at_once };
            let (now, later) = untold.split_at(many.min(untold.len()));
            now.iter().for_each(|entry| {
                writer.write(&site.topic(entry.input), entry.partition(EVENT_PARTITIONS), &entry.bytes);
            });
            (told, untold) = (told + now.len(), later);
            writer.serve(step);
        }
        writer.flush();
        entries[..told].to_vec()
    })
}

/// How often each alert was found beyond once, and which were not looked for.
fn compare(found: &[Value], wanted: &[Value]) -> String {
    let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    sorted(found).into_iter().for_each(|alert| counts.entry(alert).or_default().0 += 1);
    sorted(wanted).into_iter().for_each(|alert| counts.entry(alert).or_default().1 += 1);
    let count = |is: fn(&(i64, i64)) -> bool| counts.values().filter(|counts| is(counts)).count();
    let (lost, twice) =
        (count(|(found, wanted)| found < wanted), count(|(found, wanted)| found > wanted && *wanted > 0));
    let wrong = count(|(_, wanted)| *wanted == 0);
    let example = |is: fn(&(i64, i64)) -> bool| counts.iter().find(|(_, counts)| is(counts)).map(|(alert, _)| alert);
    let lost_one = example(|(found, wanted)| found < wanted).map(|alert| format!("; lost: {alert}"));
    let wrong_one = example(|(_, wanted)| *wanted == 0).map(|alert| format!("; wrong: {alert}"));
    let examples = lost_one.into_iter().chain(wrong_one).collect::<String>();
    format!("{} alerts: {lost} lost, {twice} twice, {wrong} wrong{examples}", wanted.len())
}

#[test]
fn nothing_is_lost_nothing_is_there_twice_and_nothing_is_wrong() {
    let kills = number("CHAOS_KILLS").unwrap_or(10);
    let drawn = || std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as u64;
    let seed = number("CHAOS_SEED").unwrap_or_else(drawn);
    say(&format!("CHAOS_KILLS={kills} CHAOS_SEED={seed}"));
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    let mut fleet = Fleet::start();
    let accidents = accidents(kills, &mut dice);
    let floods = accidents.iter().filter(|accident| **accident == Accident::Flood).count() * FLOOD;
    let scenes = (kills * SECONDS_PER_KILL + floods as u64 * SECONDS_PER_FLOOD) * SCENES_PER_SECOND;
    let telling = tell(&fleet.site, story(scenes), &fleet.pace);

    for accident in accidents {
        // Nothing is waited for: accidents come at any distance from one another.
        thread::sleep(Duration::from_millis(500 + dice.roll(2_000)));
        say(&format!("{:6.1} s {accident:?}", begun.elapsed().as_secs_f64()));
        fleet.happen(accident, &mut dice);
        assert!(!telling.is_finished(), "the story of {scenes} scenes is over before the accidents are");
    }
    fleet.pace.over.store(true, Ordering::Release);
    let told = telling.join().expect("the story is told");
    Writer::of(&fleet.site).end(&fleet.site, &epilogue(scenes, Duration::from_secs(60)), EVENT_PARTITIONS);

    let wanted = replay(&fleet.site, &told, EVENT_PARTITIONS).alerts;
    let wanted_ids = ids(&wanted);
    let ended_at = Instant::now();
    let is_missing = || fleet.watch.missing(&wanted_ids) + fleet.told.missing(&wanted_ids) > 0;
    while is_missing() && ended_at.elapsed() < END_MAX {
        thread::sleep(LOOK_AGAIN);
    }
    let found = opening(fleet.site.alerts());
    let outcome = compare(&found, &wanted);
    say(&format!("{outcome} in {:.0} s; {}", begun.elapsed().as_secs_f64(), fleet.report()));
    assert!(sorted(&found) == sorted(&wanted), "CHAOS_SEED={seed}: {outcome}");
    assert_eq!(fleet.told.missing(&wanted_ids), 0, "CHAOS_SEED={seed}: alerts that nobody was told");
}
