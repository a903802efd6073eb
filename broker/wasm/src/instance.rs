//! A running module, called for one record at a time.

use std::fmt;
use std::sync::Arc;

use logmill_model::{FailureReason, LogLevel, Message, Output, Timestamp, Verdict, World};
use wasmtime::{Store, UpdateDeadline};

use crate::from_guest::{self, TooMuch};
use crate::guest::{Exported, Guest};
use crate::host::Host;
use crate::offence::Offence;
use crate::runtime::Shared;
use crate::{Failure, Limits, SharedMemory, to_guest};

/// How much more than its outputs' bytes a guest may hand over in one call: lists and strings take
/// more while they are passed than in a record.
const PASSED_PER_OUTPUT_BYTE: u64 = 4;
/// What a guest may hand over in one call however little it may return.
const PASSED_BYTES_MIN: u64 = 1 << 20;
/// Most handles to resources in one instance.
const HANDLES_MAX: usize = 10_000;

/// What a call is told, and where its log goes.
pub struct CallContext<'a> {
    /// The time of the call; it stands still during it.
    pub now: Timestamp,
    /// The same seed gives the same random bytes.
    pub seed: u64,
    /// Called after the guest returned, once for each line that it wrote, in order.
    pub log: &'a mut dyn FnMut(LogLevel, &str),
    /// What a consumer remembers. Without one its state is empty, every key is its own, and what it
    /// changes is forgotten.
    pub memory: Option<SharedMemory>,
}

/// How a call that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// With a verdict.
    Verdict(Verdict),
    /// Before its end, at a key that is claimed by a record that is not settled. It says nothing of
    /// the record, and costs the instance: the call is made again from the start, later.
    Busy,
}

/// How guest code ended otherwise than by returning.
#[derive(Debug)]
pub(crate) enum Stopped {
    Failed(Failure),
    /// At a claim that is another's.
    Busy,
}

impl From<Stopped> for Failure {
    /// Where there is no memory, nobody is busy.
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(failure) => failure,
            Stopped::Busy => Self::lost(FailureReason::Trap, Offence::Busy.to_string()),
        }
    }
}

impl fmt::Debug for CallContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("now", &self.now)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// An instance of a module in one world. One call at a time; between calls it may move to another
/// thread, which must have a megabyte of stack to spare.
pub struct Instance {
    world: World,
    limits: Limits,
    shared: Arc<Shared>,
    /// None once the instance is lost: its memory is given back at once.
    running: Option<Running>,
}

struct Running {
    store: Store<Host>,
    guest: Guest,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("world", &self.world)
            .field("limits", &self.limits)
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// Instantiates `exported` and runs `init`, both as one call.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        exported: &Exported,
        limits: Limits,
        config: &[(String, String)],
        call: CallContext<'_>,
    ) -> Result<Self, Failure> {
        let mut store = new_store(shared, &limits);
        let config = to_guest::config(config);
        let mut guest = None;
        let started = run(shared, &mut store, limits.init_deadline_ms, call, |store| {
            let instance = exported.instantiate(store)?;
            let functions = exported.functions(store, &instance)?;
            let initialized = functions.init(store, &config)?;
            guest = Some(functions);
            Ok(initialized)
        });
        match (started, guest) {
            (Ok(()), Some(guest)) => Ok(Self {
                world: exported.world(),
                limits,
                shared: Arc::clone(shared),
                running: Some(Running { store, guest }),
            }),
            (Ok(()), None) => Err(Failure::lost(FailureReason::Trap, "it never began".to_owned())),
            (Err(stopped), _) => {
                let failure = Failure::from(stopped);
                let detail = format!("init: {}", failure.detail);
                Err(Failure::lost(failure.reason, detail))
            }
        }
    }

    /// What it is used as.
    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    /// Whether a failure has cost the instance: every further call fails.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.running.is_none()
    }

    /// Asks a consumer for its verdict on one record.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure> {
        let headers = to_guest::headers(message);
        let message = to_guest::message(message, &headers);
        let verdict = self.call(call, |guest, store| match guest {
            Guest::Consumer(guest) => guest.call_handle(store, message).map(Some),
            _ => Ok(None),
        });
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(Stopped::Busy) => return Ok(Called::Busy),
            Err(Stopped::Failed(failure)) => return Err(failure),
        };
        let bytes_max = self.limits.output_bytes;
        self.within_bounds(from_guest::verdict(verdict, bytes_max)).map(Called::Verdict)
    }

    /// Asks a router where a record goes besides its own topic.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn route(
        &mut self,
        message: &Message,
        call: CallContext<'_>,
    ) -> Result<Vec<Output>, Failure> {
        let headers = to_guest::headers(message);
        let message = to_guest::message(message, &headers);
        let outputs = self.call(call, |guest, store| match guest {
            Guest::Router(guest) => guest.call_route(store, message).map(Some),
            _ => Ok(None),
        })?;
        let bytes_max = self.limits.output_bytes;
        self.within_bounds(from_guest::outputs(outputs, bytes_max))
    }

    /// Asks a filter whether its subscriber sees a record.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn matches(&mut self, message: &Message, call: CallContext<'_>) -> Result<bool, Failure> {
        let headers = to_guest::headers(message);
        let message = to_guest::message(message, &headers);
        let matches = self.call(call, |guest, store| match guest {
            Guest::Filter(guest) => guest.call_matches(store, message).map(Some),
            _ => Ok(None),
        });
        Ok(matches?)
    }

    /// One call of the function that `ask` calls; None from it means that this world has none.
    fn call<R>(
        &mut self,
        call: CallContext<'_>,
        ask: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<Option<Result<R, String>>>,
    ) -> Result<R, Stopped> {
        let Some(Running { store, guest }) = &mut self.running else {
            return Err(Stopped::Failed(Failure::lost(
                FailureReason::Trap,
                "the instance was lost by an earlier failure".to_owned(),
            )));
        };
        let world = self.world;
        let result = run(&self.shared, store, self.limits.deadline_ms, call, |store| {
            let answer = ask(guest, store)?;
            Ok(answer.unwrap_or_else(|| Err(format!("this is a {world}, which isn't asked that"))))
        });
        match &result {
            // The guest was left in the middle of its code: it can't be entered again.
            Err(Stopped::Busy) => self.running = None,
            Err(Stopped::Failed(failure)) if failure.instance_lost => self.running = None,
            _ => {}
        }
        result
    }

    fn within_bounds<T>(&mut self, converted: Result<T, TooMuch>) -> Result<T, Failure> {
        converted.map_err(|too_much| {
            self.running = None;
            Failure::too_much(too_much)
        })
    }
}

/// A store within `limits`, whose epoch asks the meter at each tick.
pub(crate) fn new_store(shared: &Shared, limits: &Limits) -> Store<Host> {
    let mut store = Store::new(&shared.engine, Host::new(limits));
    store.limiter(|host| &mut host.budget);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().meter.visit()?;
        Ok(UpdateDeadline::Continue(1))
    });
    let passed = limits.output_bytes.saturating_mul(PASSED_PER_OUTPUT_BYTE).max(PASSED_BYTES_MIN);
    store.set_hostcall_fuel(usize::try_from(passed).unwrap_or(usize::MAX));
    store.set_max_component_handles(HANDLES_MAX);
    store
}

/// Runs guest code under its limits and hands its log over.
pub(crate) fn run<R>(
    shared: &Shared,
    store: &mut Store<Host>,
    deadline_ms: u64,
    mut call: CallContext<'_>,
    guest: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<Result<R, String>>,
) -> Result<R, Stopped> {
    store.data_mut().begin(&mut call, deadline_ms);
    store.set_epoch_deadline(1);
    let result = {
        let _ticking = shared.ticker.run();
        guest(store)
    };
    let host = store.data_mut();
    host.memory = None;
    let mut lines = host.lines.lock();
    lines.finish();
    drop(lines);
    let outcome = match result {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(text)) => Err(Stopped::Failed(Failure::returned(text, host))),
        Err(error) if error.downcast_ref() == Some(&Offence::Busy) => Err(Stopped::Busy),
        Err(error) => Err(Stopped::Failed(Failure::stopped(&error, host))),
    };
    host.lines.lock().hand_over(call.log);
    outcome
}
