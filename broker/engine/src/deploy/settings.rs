//! What a deploy request means: its settings over those of the version before, over the defaults;
//! and whether they fit the module and the world. Pure.

use logmill_model::{
    Backoff, DeployRequest, DeploymentSettings, Idempotency, ModuleLimits, Order, OutputGrant,
    Position, TopicName, Unrouted, World,
};
use logmill_wasm::Module;

use crate::Error;
use crate::catalog::Catalog;
use crate::limits::HOLES_MAX;

const SOURCES_MAX: usize = 64;
const OUTPUTS_MAX: usize = 64;
const CONFIG_BYTES_MAX: usize = 64 * 1024;
const ATTEMPTS_MAX: u32 = 10_000;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 1 << 16..=4 << 30;
const DEADLINE_MS: std::ops::RangeInclusive<u64> = 1..=60_000;

/// A deployment that fits.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: DeploymentSettings,
    pub(super) limits: ModuleLimits,
}

fn refused(why: impl Into<String>) -> Error {
    Error::DeploymentRefused(why.into())
}

impl Plan {
    pub(super) fn of(
        request: &DeployRequest,
        module: &Module,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let existing = catalog.deployment(&request.name);
        let before = catalog.active_version(&request.name);
        let world = world(request, module.worlds(), existing.map(|it| it.world))?;
        check_flags(request, world, existing.is_some())?;
        let mut settings = match before {
            Some(version) => version.settings.clone(),
            None => defaults(request, world),
        };
        overlay(&mut settings, request);
        check(&settings)?;
        let mut limits = existing.map(|it| it.limits).unwrap_or_default();
        limits.memory_bytes = request.memory_bytes.unwrap_or(limits.memory_bytes);
        limits.deadline_ms = request.deadline_ms.unwrap_or(limits.deadline_ms);
        if !MEMORY_BYTES.contains(&limits.memory_bytes) {
            return Err(refused("memory is 64 KiB to 4 GiB"));
        }
        if !DEADLINE_MS.contains(&limits.deadline_ms) {
            return Err(refused("deadline is 1 ms to 60 s"));
        }
        Ok(Self { settings, limits })
    }

    /// The topics that must exist.
    pub(super) fn topics(&self) -> Vec<&TopicName> {
        let mut topics: Vec<_> = self.settings.on.iter().collect();
        topics.extend(self.settings.out.iter().map(|grant| &grant.topic));
        if self.settings.world == World::Consumer {
            topics.push(&self.settings.dlq);
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

fn world(
    request: &DeployRequest,
    exported: &[World],
    before: Option<World>,
) -> Result<World, Error> {
    let list = exported.iter().map(|world| world.as_str()).collect::<Vec<_>>().join(", ");
    let world = match (request.world.or(before), exported) {
        (Some(world), _) => world,
        (None, [world]) => *world,
        (None, _) => {
            return Err(refused(format!("the module exports {list}; say which with --world")));
        }
    };
    if !exported.contains(&world) {
        return Err(refused(format!("the module exports {list}, not {world}")));
    }
    if before.is_some_and(|before| before != world) {
        return Err(refused(format!("{} is not a {world}; use another name", request.name)));
    }
    Ok(world)
}

fn check_flags(request: &DeployRequest, world: World, exists: bool) -> Result<(), Error> {
    let consumers_only = [
        ("--from", request.from.is_some()),
        ("--max-attempts", request.max_attempts.is_some()),
        ("--backoff", request.backoff.is_some()),
        ("--order", request.order.is_some()),
        ("--max-parked", request.max_parked.is_some()),
        ("--dlq", request.dlq.is_some()),
        ("--idempotency", request.idempotency.is_some()),
        ("--idempotency-window", request.idempotency_window_ms.is_some()),
    ];
    if world != World::Consumer
        && let Some((flag, _)) = consumers_only.iter().find(|(_, given)| *given)
    {
        return Err(refused(format!("{flag} is for consumers, and this is a {world}")));
    }
    if world != World::Router && request.unrouted.is_some() {
        return Err(refused(format!("--unrouted is for routers, and this is a {world}")));
    }
    if world == World::Filter && request.out.as_ref().is_some_and(|out| !out.is_empty()) {
        return Err(refused("--out is for consumers and routers, and this is a filter"));
    }
    if exists && request.from.is_some() {
        let name = &request.name;
        return Err(refused(format!(
            "{name} exists and goes on where it is; --from is for a new one"
        )));
    }
    Ok(())
}

fn defaults(request: &DeployRequest, world: World) -> DeploymentSettings {
    DeploymentSettings {
        world,
        on: Vec::new(),
        out: Vec::new(),
        config: Vec::new(),
        from: Position::Latest,
        max_attempts: 5,
        backoff: Backoff::default(),
        order: Order::default(),
        max_parked: DeploymentSettings::MAX_PARKED,
        dlq: request.name.dead_letter_topic(),
        idempotency: Idempotency::None,
        idempotency_window_ms: Idempotency::WINDOW_MS,
        unrouted: Unrouted::Keep,
    }
}

fn overlay(settings: &mut DeploymentSettings, request: &DeployRequest) {
    fn set<T: Clone>(setting: &mut T, asked: &Option<T>) {
        if let Some(asked) = asked {
            setting.clone_from(asked);
        }
    }
    set(&mut settings.on, &request.on);
    set(&mut settings.out, &request.out);
    set(&mut settings.config, &request.config);
    set(&mut settings.from, &request.from);
    set(&mut settings.max_attempts, &request.max_attempts);
    set(&mut settings.backoff, &request.backoff);
    set(&mut settings.order, &request.order);
    set(&mut settings.max_parked, &request.max_parked);
    set(&mut settings.dlq, &request.dlq);
    set(&mut settings.idempotency, &request.idempotency);
    set(&mut settings.idempotency_window_ms, &request.idempotency_window_ms);
    set(&mut settings.unrouted, &request.unrouted);
}

fn check(settings: &DeploymentSettings) -> Result<(), Error> {
    let DeploymentSettings { on, out, config, max_attempts, max_parked, dlq, world, .. } = settings;
    if on.is_empty() {
        return Err(refused("it is on no topic; say on which with --on"));
    }
    if on.len() > SOURCES_MAX || out.len() > OUTPUTS_MAX {
        return Err(refused(format!("at most {SOURCES_MAX} sources and {OUTPUTS_MAX} outputs")));
    }
    if !(1..=ATTEMPTS_MAX).contains(max_attempts) {
        return Err(refused(format!("max attempts is 1 to {ATTEMPTS_MAX}")));
    }
    if !(1..=HOLES_MAX).contains(&(*max_parked as usize)) {
        return Err(refused(format!("max parked is 1 to {HOLES_MAX}")));
    }
    if !(1..=Idempotency::WINDOW_MS_MAX).contains(&settings.idempotency_window_ms) {
        return Err(refused("an idempotency window is 1 ms to 365 d"));
    }
    let config_bytes: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if config_bytes > CONFIG_BYTES_MAX {
        return Err(refused(format!(
            "config has {config_bytes} bytes, at most {CONFIG_BYTES_MAX}"
        )));
    }
    if let Some(twice) = first_twice(on.iter().map(TopicName::as_str)) {
        return Err(refused(format!("source {twice} is named twice")));
    }
    if let Some(twice) = first_twice(out.iter().map(OutputGrant::name)) {
        return Err(refused(format!("output {twice} is named twice")));
    }
    if *world == World::Consumer && on.contains(dlq) {
        return Err(refused(format!("{dlq} is its source and its dead-letter topic")));
    }
    Ok(())
}

fn first_twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
