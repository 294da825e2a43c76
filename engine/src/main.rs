//! The engine process: reads the configuration, decides what the time is, and orders corrections.
//!
//! ```text
//!   main           confinement first, then everything else
//!   configuration  the TOML file: checked key by key; settings, launch plan, access rules
//!   check          what a configuration that is in order means for NTS, for people
//!   launch         the plan, the hellos of the other processes, the welcome
//!   loop           waits; passes facts into the engine and effects out of it
//!   answering      requests on the control socket: carried out and answered
//!   home           a state directory without room at the start: whether it has some now
//!   reload         a changed file, while everything runs: what of it takes effect
//!   links          one link to each process but the key holder: order of messages, queues that never block
//!   clock          the raw clock and the steered one, read next to each other
//!   state          what survives a restart
//!   history        the history of minutes, for auditors
//!   keys           keys that survive a restart
//!   cookie_keys    where the keys of cookies come from, and when they change
//!   keeping        the two of them in the running process
//!   writing        files in the running process: what cannot be written is tried again
//!   reports        the last proof that a Roughtime server signed a wrong time; anchors: what servers signed over log and history
//!   key_exchange   what is known of the key exchange service
//!   control        the socket that chimerctl talks to; answers: the replies; documents: what they are made from
//!   log            one line for each event; sentence: the sentences for administrators
//!   recording      the file of `--record`; replay, for which chimerctl starts this program
//!   time_page      the pages of shared memory from which programs compute the time
//!   ending         why the process ends, and with which code
//! ```
//!
//! It holds no privilege, no network socket and no file but those that it was started with. What it decides
//! comes from `engine/core`, which reads neither clock nor socket.
#![forbid(unsafe_code)]

mod anchors;
mod answering;
mod answers;
mod check;
mod clock;
mod configuration;
mod control;
mod cookie_keys;
mod documents;
mod ending;
mod history;
mod home;
mod keeping;
mod key_exchange;
mod keys;
mod launch;
mod links;
mod log;
mod r#loop;
mod recording;
mod reload;
mod reports;
mod samba;
mod state;
mod time_page;
mod verbose;
mod writing;

use crate::anchors::Anchors;
use crate::answers::Surroundings;
use crate::clock::Clock;
use crate::configuration::{Configuration, OpenFiles, Texts, profile_name};
use crate::control::Control;
use crate::cookie_keys::CookieSource;
use crate::ending::Ending;
use crate::history::Given;
use crate::keeping::Keeping;
use crate::keys::{KeyFile, Roots};
use crate::launch::Launched;
use crate::links::{Ends, Links};
use crate::log::{Event, Log, Severity};
use crate::r#loop::Running;
use crate::reload::{InForce, Opened};
use crate::reports::Reports;
use crate::state::StateFile;
use crate::time_page::Pages;
use crate::writing::AllWriting;
use engine_core::io::{Input, Saved, SavedAssociation, Start};
use engine_core::recording::{Recorder, Tape};
use ipc::address::Address;
use ipc::message::Shortfall;
use ipc::message::launch::{FromLaunch, START_PATIENCE, ToLaunch};
use ipc::process::{PerProcess, Process};
use ipc::served_at::Service;
use ipc::units::{Frequency, Span};
use ipc_link::Link;
use nix::sys::stat::fstat;
use policies::inherited::InheritError;
use policies::{ConfineError, Inherited, Role};
use std::fmt::Display;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::process::exit;

fn main() {
    end_on_panic();
    let words = Inherited::from_args().unwrap_or_else(|error| fail(error));
    words.close_others();
    protocol::primitives::begin().unwrap_or_else(|error| fail(error));
    if words.flag("replay") {
        confine(&words);
        exit(recording::replay_standard_input());
    }
    let files = Files::take(&words);
    let history = Given::take(&words);
    let (pages, lacking) = Pages::take(&words);
    let shortfall = confine(&words);
    let mut log = Log::from_words(&words).unwrap_or_else(|error| fail(error));
    for text in &lacking {
        log.write(Severity::WARNING, Event::PageMissing.says(text));
    }
    let name = files.name.clone();
    let loaded = load_configuration(files.configuration, &mut log);
    if words.flag("check") {
        print!("{}", check::describe(&loaded.configuration, &loaded.texts));
        // The files that it names are looked at by truechimerd, which sees them.
        if let Ok(end) = words.fd("launch") {
            let mut link: Link<ToLaunch, FromLaunch> = Link::new(end);
            for message in check::messages(&loaded.configuration) {
                let _ = link.send(&message);
            }
        }
        exit(0);
    }
    let files = ((name, files.keys, files.keys_aside), history);
    exit(run(&words, files, pages, log, loaded, shortfall));
}

/// A file with the number of its inode.
type Numbered = (OwnedFd, u64);

/// What has to be asked about files before the filter is in force.
struct Files {
    configuration: OpenFiles,
    /// Of the configuration, for messages.
    name: String,
    /// The file of keys; none where nothing is to run.
    keys: Option<Numbered>,
    /// The same of the directory that is not in use.
    keys_aside: Option<Numbered>,
}

impl Files {
    fn take(words: &Inherited) -> Self {
        let configuration = OpenFiles::take(words).unwrap_or_else(|error| fail(error));
        let name = words.text("config-name").unwrap_or("the configuration file").to_owned();
        let with_inode = |key| {
            let fd = words.optional_fd(key).unwrap_or_else(|error| fail(error))?;
            let inode = fstat(&fd).map_or(0, |stat| stat.st_ino);
            Some((fd, inode))
        };
        let (keys, keys_aside) = (with_inode("keys"), with_inode("keys-aside"));
        Self { configuration, name, keys, keys_aside }
    }
}

fn confine(words: &Inherited) -> Shortfall {
    match policies::confine(Role::Engine, words) {
        Ok(shortfall) => shortfall,
        // Root may check its own file before the package's users exist, without a loss of security.
        Err(ConfineError::NoUser) if words.flag("check") => Shortfall::NONE,
        // Of a start that failed truechimerd has said why.
        Err(ConfineError::Orphaned) => exit(ending::ENGINE),
        Err(error) => fail(error),
    }
}

/// A panic is a bug; it ends the process with one line, and with it the daemon.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let text = ipc::text::escape(&panic.to_string());
        log::write_to_stderr(&format!("truechimer-engine: a fault of its own: {text}\n"));
        exit(ending::ENGINE);
    }));
}

fn fail(error: impl Display) -> ! {
    log::write_to_stderr(&format!("truechimer-engine: {error}\n"));
    exit(ending::ENGINE)
}

/// A configuration in order, with what it was made from.
struct Loaded {
    configuration: Configuration,
    texts: Texts,
    file: File,
}

fn load_configuration(files: OpenFiles, log: &mut Log) -> Loaded {
    let read = files.read().and_then(|(mut texts, unread, file)| {
        let configuration = configuration::read(&mut texts)?;
        Ok((Loaded { configuration, texts, file }, unread))
    });
    match read {
        Ok((loaded, unread)) => {
            let Configuration { warnings, offered, .. } = &loaded.configuration;
            for warning in warnings.iter().chain(&unread).chain(&offered.warnings) {
                log.write(Severity::WARNING, Event::ConfigurationDoubtful.says(warning));
            }
            for note in &offered.notes {
                log.write(Severity::INFO, Event::OfferedUnused.says(note));
            }
            loaded
        }
        Err(error) => {
            for line in error.to_string().lines() {
                log.write_for_person(Severity::ERROR, Event::ConfigurationRefused.says(line));
            }
            // A disk that fails may be read again later; what is written in the file stays wrong.
            let is_trouble = matches!(error, configuration::ConfigurationError::Unreadable(..));
            exit(if is_trouble { ending::ENGINE } else { ending::CONFIGURATION })
        }
    }
}

/// The name of the configuration, the files of keys, and that of the history.
type KeptFiles = ((String, Option<Numbered>, Option<Numbered>), Result<Option<Given>, String>);

/// From the configuration on; returns the exit code.
fn run(
    words: &Inherited,
    ((name, keys, keys_aside), history): KeptFiles,
    pages: Pages,
    mut log: Log,
    Loaded { configuration, texts, file }: Loaded,
    shortfall: Shortfall,
) -> i32 {
    let take = |key: &str| words.fd(key).unwrap_or_else(|error| fail(error));
    let mut ends = PerProcess::default();
    for process in Process::Engine.with_link_to() {
        ends[process] = Some(take(process.word()));
    }
    let keys = keys.unwrap_or_else(|| fail(InheritError::Missing("keys".to_owned())));
    // The socket pair was created by the user who started the daemon; that user may change the daemon over the control
    // socket.
    let owner = ends[Process::Privileged].as_ref().and_then(|end| control::peer_uid(end).ok()).unwrap_or(0);
    let mut links =
        Links::new(Ends { launch: take("launch"), links: ends }).unwrap_or_else(|errno| fail(errno));
    let control = Control::new(take("control"), owner).unwrap_or_else(|errno| fail(errno));
    let mut state = StateFile::new(take("state"));
    let anchors = words.optional_fd("anchors").unwrap_or_else(|error| fail(error));
    let anchors = anchors.map(Anchors::new);
    let reports = words.optional_fd("malfeasance").unwrap_or_else(|error| fail(error)).map(Reports::new);
    let elsewhere = words.text("state-elsewhere").map(str::to_owned);
    let state_aside =
        words.optional_fd("state-aside").unwrap_or_else(|error| fail(error)).map(StateFile::new);
    let recorded = words.optional_fd("record").unwrap_or_else(|error| fail(error));
    let tape = recorded.map(|file| Box::new(recording::RecordingFile::new(file)) as Box<dyn Tape>);
    let mut clock = Clock::new(words.optional_fd("clock").unwrap_or_else(|error| fail(error)));

    let heartbeat = words.number("heartbeat").unwrap_or_else(|error| fail(error));
    let heartbeat = heartbeat.map(|millis| Span::from_millis(i64::from(millis)));
    let home = home::take(words).unwrap_or_else(|error| fail(error));
    let served = served_addresses(&configuration);
    let launched = match launch::launch(&mut links, &configuration, shortfall, START_PATIENCE) {
        Ok(launched) => launched,
        // A failed start: truechimerd has logged the cause, and this line must not come before that one.
        Err(ending) if ending.is_orderly() => return ending::ENGINE,
        Err(ending) => return end(&mut log, &mut links, &ending),
    };
    if configuration.settings.clock.clockbound && !pages.counts() {
        let text = "clockbound: shm1 says nothing here, since the kernel does not keep time by a counter that programs can \
                    read (/sys/devices/system/clocksource/clocksource0/current_clocksource); shm0 and our own page do";
        log.write(Severity::WARNING, Event::PageMissing.says(text));
    }
    let in_force = InForce::of(&configuration, texts);
    let keys = (keys, keys_aside);
    let (keeping, associations) =
        restore_keys(&mut log, keys, elsewhere.is_some(), &configuration, &launched);
    let states = (&mut state, state_aside);
    let start = match prepare_start(&mut log, states, &mut clock, configuration, associations, &launched) {
        Ok(start) => start,
        Err(ending) => return end(&mut log, &mut links, &ending),
    };
    if let Some(keys) = keeping.cookies().and_then(CookieSource::keys)
        && let Err(breach) = links.send_cookie_keys(ipc_clock::raw(), &keys)
    {
        return end(&mut log, &mut links, &breach.into());
    }
    let seen = match clock.now() {
        Ok(now) => now,
        Err(error) => return end(&mut log, &mut links, &error.into()),
    };
    let own = with_told(&served, launched.network.as_deref().unwrap_or_default());
    let history = history::begin(words, history, (&in_force, state.counts().history), seen, &mut log);
    let mut running = Running {
        surroundings: Surroundings {
            clock: launched.welcome.clock,
            processes: launched.welcome.processes,
            shortfalls: launched.shortfalls,
            counters: launched.counters,
            key_exchange: launched.key_exchange,
        },
        elsewhere,
        home,
        clock,
        links,
        control,
        state,
        history,
        reports,
        anchors,
        pages,
        keeping,
        log,
        engine: Recorder::new(start, tape),
        in_force,
        begun: seen,
        seen,
        heartbeat: heartbeat.unwrap_or(r#loop::HEARTBEAT),
        pinged: heartbeat.map(|_| launched.at),
        spoke: launched.at,
        tidied: launched.at,
        configuration: Opened { file, name, starter: owner },
        condition: None,
        warned: None,
        pending: vec![Input::Welcome(launched.welcome), Input::OwnAddresses(own)],
        told: None,
        stepping: false,
        served,
        unsaved: None,
        writing: AllWriting::default(),
    };
    let ending = running.run();
    running.end_history();
    running.engine.finish();
    end(&mut running.log, &mut running.links, &ending)
}

/// What this process itself knows of the host's addresses, in its empty network: those that it serves on.
/// Loopback isn't one host's own name in the way that a loop of sources needs.
fn served_addresses(configuration: &Configuration) -> Vec<IpAddr> {
    let listen = configuration.plan.listen.iter();
    listen.map(|served| served.address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect()
}

/// The same with those that the client tells.
pub fn with_told(served: &[IpAddr], told: &[Address]) -> Vec<IpAddr> {
    let told = told.iter().map(Address::ip).filter(|ip| !served.contains(ip));
    served.iter().copied().chain(told).collect()
}

/// The stored state, as far as it is valid. `is_elsewhere`: the other file is that of the state directory.
fn restore_keys(
    log: &mut Log,
    (keys, aside): ((OwnedFd, u64), Option<(OwnedFd, u64)>),
    is_elsewhere: bool,
    configuration: &Configuration,
    launched: &Launched,
) -> (Keeping, Vec<SavedAssociation>) {
    let open = |(fd, inode)| KeyFile::new(fd, inode, Roots::of(&configuration.plan));
    let (mut file, mut aside) = (open(keys), aside.map(open));
    let (mut kept, complaint) = file.load();
    let later = aside.as_mut().and_then(|aside| file.continue_from(aside));
    let is_taken = later.is_some();
    if let Some(later) = later {
        kept = later;
        if is_elsewhere {
            // That file cannot be written: each boot would send the same cookies again, and be recognised by them.
            kept.associations.clear();
        } else {
            let text = "keys and cookies of the run directory were taken back";
            log.write(Severity::NOTICE, Event::StateBack.says(text));
        }
    }
    let is_damaged = complaint.is_some();
    let mut complaints: Vec<String> = complaint.into_iter().collect();
    let cookies = configuration.keys.as_ref().map(|keys| {
        let (cookies, complaint) = CookieSource::new(keys.fleet.clone(), kept.ratchet.as_ref());
        complaints.extend(complaint);
        cookies
    });
    // Secrets that nothing is left to use are not kept any longer.
    let before = kept.associations.len() + kept.left_out;
    kept.associations.retain(|association| {
        configuration.settings.sources.iter().any(|source| {
            source.place == association.server
                && source.nts.is_some_and(|settings| settings.roots == association.roots)
        })
    });
    let is_idle = kept.ratchet.is_some() && cookies.is_none();
    // A fault is logged once, even if no key is ever written again.
    let mut unwritten = None;
    if file.is_left_alone() {
        aside = None;
    } else if is_taken || is_damaged || is_idle || kept.associations.len() != before {
        kept.ratchet = kept.ratchet.filter(|_| !is_idle);
        unwritten = file.replace(&kept).err();
    }
    let is_unwritten = unwritten.is_some();
    match (unwritten, aside) {
        (Some(error), _) => complaints.push(format!("the file of keys cannot be written: {error}")),
        (None, Some(aside)) => aside.void(),
        (None, None) => {}
    }
    for complaint in complaints {
        log.write(Severity::WARNING, Event::StateUnusable.says(&complaint));
    }
    (Keeping::new(file, cookies, launched.welcome.floor, is_unwritten), kept.associations)
}

fn prepare_start(
    log: &mut Log,
    (state, aside): (&mut StateFile, Option<StateFile>),
    clock: &mut Clock,
    configuration: Configuration,
    associations: Vec<SavedAssociation>,
    launched: &Launched,
) -> Result<Start, Ending> {
    let (saved, complaint) = state.load();
    let saved = aside.and_then(|aside| state.continue_from(aside)).or(saved);
    let (addresses, of_addresses) = state.load_addresses();
    // A file that is damaged as a whole is told once.
    if let Some(complaint) = complaint.or(of_addresses) {
        log.write(Severity::WARNING, Event::StateUnusable.says(&complaint));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Ending::Kernel(nix::errno::Errno::ENOSYS))?;
    let mut text = summary(&configuration, launched, saved);
    let initial = configuration.initial_frequency.filter(|_| saved.is_none());
    // The governor's record has the last one in force, which is as good as one that was saved here.
    let initial = initial.filter(|_| launched.welcome.base_frequency.scaled() == 0);
    if let Some(frequency) = initial {
        let ppm = f64::from(frequency.scaled()) / f64::from(Frequency::PER_PPM);
        text += &format!(", frequency of the configuration {ppm:.3} ppm");
    }
    log.write(Severity::NOTICE, Event::Started.says(&text));
    let saved = saved.or_else(|| initial.map(|frequency| state::initial(frequency, launched.welcome.floor)));
    for line in missing(launched) {
        log.write(Severity::WARNING, Event::Unconfined.says(&line));
    }
    for (severity, event, text) in launched.lines(configuration.plan.samba) {
        log.write(severity, event.says(&text));
    }
    let precision = clock.measure_precision()?;
    Ok(Start { settings: configuration.settings, saved, associations, addresses, seed, precision })
}

/// What runs now, in one line. Which addresses can be bound is another process's to find out and to say.
fn summary(configuration: &Configuration, launched: &Launched, saved: Option<Saved>) -> String {
    let sources = sentence::sources(configuration.settings.sources.len());
    let server = match configuration.plan.listen.len() {
        0 => "serving no clients".to_owned(),
        1 => "asked to serve on 1 address".to_owned(),
        more => format!("asked to serve on {more} addresses"),
    };
    let frequency = saved.map_or(String::new(), |saved| {
        let ppm = f64::from(saved.frequency.scaled()) / f64::from(Frequency::PER_PPM);
        format!(", frequency of the last run {ppm:.3} \u{b1} {:.3} ppm", saved.frequency_error_ppm)
    });
    format!(
        "truechimer {} started: {sources}, {server}, clock {}, governor profile {}{frequency}",
        env!("CARGO_PKG_VERSION"),
        documents::clock_name(launched.welcome.clock),
        profile_name(configuration.plan.profile, configuration.plan.attested),
    )
}

/// What is said of an interface that `listen` names.
pub fn interface_line(name: &str, service: Service, is_there: bool) -> (Severity, Event, String) {
    let (severity, event) = match is_there {
        true => (Severity::NOTICE, Event::InterfaceThere),
        false => (Severity::WARNING, Event::InterfaceMissing),
    };
    (severity, event, sentence::served_interface(name, service, is_there))
}

/// One line for each process that is confined less than it should be.
fn missing(launched: &Launched) -> Vec<String> {
    let heard = launched.shortfalls.iter();
    let short = heard.filter_map(|(process, shortfall)| Some((process, answers::names((*shortfall)?))));
    short
        .filter(|(_, missing)| !missing.is_empty())
        .map(|(process, missing)| {
            let list = missing.join(", ");
            format!("{} runs without: {list} (not offered by this system, or left out)", process.title())
        })
        .collect()
}

/// Says why, tells privileged, and gives the exit code.
fn end(log: &mut Log, links: &mut Links, ending: &Ending) -> i32 {
    log.finish(ipc_clock::raw());
    let severity = match ending {
        Ending::Return => Severity::NOTICE,
        ending if ending.is_orderly() => Severity::INFO,
        _ => Severity::ERROR,
    };
    let text = ending.to_string();
    log.write(severity, Event::Ended.says(&text));
    if let Some(goodbye) = ending.goodbye() {
        links.send_goodbye(ipc_clock::raw(), goodbye);
    }
    ending::ENGINE
}
