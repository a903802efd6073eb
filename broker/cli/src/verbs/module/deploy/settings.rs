//! The settings of a deployment: those that were typed over those of the project file.

use logmill_build::project::Deploy;
use logmill_model::{
    Backoff, DeployRequest, DeploymentName, Idempotency, ModuleDigest, Order, OutputGrant,
    Position, TopicName, Unrouted, World,
};

use crate::Failure;
use crate::quantity::{parse_assignment, parse_bytes, parse_ms};

/// The settings as typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// The topics that the module works on; made when missing
    #[arg(long, num_args = 1.., value_name = "TOPIC")]
    pub(super) on: Vec<String>,
    /// A topic that the module may write to, and the name by which it knows it. Not for filters
    #[arg(long, value_name = "[ALIAS=]TOPIC", value_parser = parse_grant)]
    out: Vec<OutputGrant>,
    /// A setting for the module's init; others of the project file stay
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    config: Vec<(String, String)>,
    /// Where a new deployment starts: earliest, latest, an offset, @TIME or -SPAN, such as
    /// @2026-07-01T12:00:00Z or -15m; latest unless told. Consumers only
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    from: Option<Position>,
    /// Failed attempts until a record is a dead letter. Consumers only
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// How long a failed record waits: fixed:D, exp:D..D or list:D,D,… Consumers only
    #[arg(long, value_name = "BACKOFF")]
    backoff: Option<Backoff>,
    /// What a record that waits for another attempt holds up: the partition, or its key alone.
    /// Consumers only
    #[arg(long, value_name = "partition|key")]
    order: Option<Order>,
    /// With --order key, how many records of a partition may wait before it takes no new ones.
    /// Consumers only
    #[arg(long, value_name = "N")]
    max_parked: Option<u32>,
    /// Where dead letters go, instead of NAME.dlq. Consumers only
    #[arg(long, value_name = "TOPIC")]
    dlq: Option<TopicName>,
    /// Skip records whose idempotency key was seen: header:NAME, key or json:/pointer says where a
    /// record has it. Consumers only
    #[arg(long, value_name = "WHERE")]
    idempotency: Option<Idempotency>,
    /// How long a claimed key is remembered, as in 24h; 365d at most. Consumers only
    #[arg(long, value_name = "D", value_parser = parse_ms)]
    idempotency_window: Option<u64>,
    /// What one instance may have, as in 64MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// What one call may use, as in 1s
    #[arg(long, value_name = "D", value_parser = parse_ms)]
    deadline: Option<u64>,
    /// Leave it standing until `module resume`
    #[arg(long)]
    paused: bool,
    /// What happens to a record without a route: keep or refuse. Routers only
    #[arg(long, value_name = "keep|refuse", value_parser = parse_unrouted)]
    unrouted: Option<Unrouted>,
}

fn parse_grant(text: &str) -> Result<OutputGrant, String> {
    let (alias, topic) = match text.split_once('=') {
        Some(("", _)) => return Err(format!("bad output {text:?}; use [ALIAS=]TOPIC")),
        Some((alias, topic)) => (Some(alias.to_owned()), topic),
        None => (None, text),
    };
    let topic = topic.parse().map_err(|error: logmill_model::Error| error.to_string())?;
    Ok(OutputGrant { alias, topic })
}

fn parse_unrouted(text: &str) -> Result<Unrouted, String> {
    match text {
        "keep" => Ok(Unrouted::Keep),
        "refuse" => Ok(Unrouted::Refuse),
        _ => Err(format!("bad value {text:?}; use keep or refuse")),
    }
}

impl Flags {
    /// As the project file says, but standing until it is resumed.
    pub(crate) fn paused() -> Self {
        Self { paused: true, ..Self::default() }
    }

    /// Whether a flag says something of one module in particular.
    pub(super) fn is_empty(&self) -> bool {
        self.given().is_empty() && !self.paused
    }

    /// The names of the settings that were typed, and the worlds that they fit; None is all.
    fn given(&self) -> Vec<(&'static str, Option<&'static [World]>)> {
        const CONSUMER: Option<&[World]> = Some(&[World::Consumer]);
        const ROUTER: Option<&[World]> = Some(&[World::Router]);
        const WRITERS: Option<&[World]> = Some(&[World::Consumer, World::Router]);
        let all = [
            ("--on", !self.on.is_empty(), None),
            ("--out", !self.out.is_empty(), WRITERS),
            ("--config", !self.config.is_empty(), None),
            ("--from", self.from.is_some(), CONSUMER),
            ("--max-attempts", self.max_attempts.is_some(), CONSUMER),
            ("--backoff", self.backoff.is_some(), CONSUMER),
            ("--order", self.order.is_some(), CONSUMER),
            ("--max-parked", self.max_parked.is_some(), CONSUMER),
            ("--dlq", self.dlq.is_some(), CONSUMER),
            ("--idempotency", self.idempotency.is_some(), CONSUMER),
            ("--idempotency-window", self.idempotency_window.is_some(), CONSUMER),
            ("--memory", self.memory.is_some(), None),
            ("--deadline", self.deadline.is_some(), None),
            ("--unrouted", self.unrouted.is_some(), ROUTER),
        ];
        all.into_iter().filter(|(_, given, _)| *given).map(|(name, _, fits)| (name, fits)).collect()
    }

    /// Refuses flags that the module's world has no use for.
    pub(super) fn check_fit(&self, world: World) -> Result<(), Failure> {
        let misfit =
            self.given().into_iter().find(|(_, fits)| fits.is_some_and(|f| !f.contains(&world)));
        match misfit {
            Some((name, _)) => {
                Err(Failure::usage(format!("{name} does not fit a {world}; leave it out")))
            }
            None => Ok(()),
        }
    }

    /// The request: these flags, else what the project file says.
    pub(super) fn request(
        &self,
        name: DeploymentName,
        digest: ModuleDigest,
        world: Option<World>,
        file: &Deploy,
    ) -> Result<DeployRequest, Failure> {
        let typed = self.clone();
        let on = match (non_empty(typed.on), &file.on) {
            (Some(on), _) => Some(topics(&on, |why| Failure::usage(format!("--on: {why}")))?),
            (None, Some(on)) => Some(topics(on, |why| wrong("on", why))?),
            (None, None) => None,
        };
        let out = match (non_empty(typed.out), &file.out) {
            (Some(out), _) => Some(out),
            (None, Some(out)) => Some(out.iter().map(grant).collect::<Result<_, _>>()?),
            (None, None) => None,
        };
        Ok(DeployRequest {
            name,
            digest,
            world,
            on,
            out,
            config: merged(typed.config, file.config.as_deref()),
            from: either(typed.from, "from", file.from.as_deref())?,
            max_attempts: typed.max_attempts.or(file.max_attempts),
            backoff: either(typed.backoff, "backoff", file.backoff.as_deref())?,
            order: either(typed.order, "order", file.order.as_deref())?,
            max_parked: typed.max_parked.or(file.max_parked),
            dlq: either(typed.dlq, "dlq", file.dlq.as_deref())?,
            idempotency: either(typed.idempotency, "idempotency", file.idempotency.as_deref())?,
            idempotency_window_ms: typed.idempotency_window.or(file.idempotency_window_ms),
            unrouted: match (typed.unrouted, file.unrouted.as_deref()) {
                (None, Some(text)) => {
                    Some(parse_unrouted(text).map_err(|why| wrong("unrouted", why))?)
                }
                (typed, _) => typed,
            },
            memory_bytes: typed.memory.or(file.memory_bytes),
            deadline_ms: typed.deadline.or(file.deadline_ms),
            paused: typed.paused || file.paused.unwrap_or(false),
        })
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn topics(
    names: &[String],
    wrong: impl Fn(logmill_model::Error) -> Failure,
) -> Result<Vec<TopicName>, Failure> {
    names.iter().map(|name| name.parse().map_err(&wrong)).collect()
}

fn grant(grant: &logmill_build::project::Grant) -> Result<OutputGrant, Failure> {
    Ok(OutputGrant { alias: grant.alias.clone(), topic: parsed("out", &grant.topic)? })
}

fn either<T: std::str::FromStr>(
    typed: Option<T>,
    key: &str,
    file: Option<&str>,
) -> Result<Option<T>, Failure>
where
    T::Err: std::fmt::Display,
{
    match (typed, file) {
        (None, Some(text)) => parsed(key, text).map(Some),
        (typed, _) => Ok(typed),
    }
}

fn parsed<T: std::str::FromStr>(key: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|why| wrong(key, why))
}

fn wrong(key: &str, why: impl std::fmt::Display) -> Failure {
    anyhow::anyhow!("bad `{key}` in logmill.toml: {why}").into()
}

/// The file's settings for the module with those that were typed in their place or after them.
fn merged(
    typed: Vec<(String, String)>,
    file: Option<&[(String, String)]>,
) -> Option<Vec<(String, String)>> {
    let mut config = file.map(<[_]>::to_vec);
    for (name, value) in typed {
        let config = config.get_or_insert_default();
        match config.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => config.push((name, value)),
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn flags(line: &str) -> Result<Flags, String> {
        let words = std::iter::once("deploy").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.flags).map_err(|error| error.to_string())
    }

    fn request(line: &str, file: &Deploy) -> DeployRequest {
        let name = "triage".parse().unwrap();
        flags(line).unwrap().request(name, ModuleDigest([7; 32]), None, file).unwrap()
    }

    fn file() -> Deploy {
        Deploy {
            on: Some(vec!["a".into()]),
            out: Some(vec!["x=b".into()]),
            config: Some(vec![("team".into(), "core".into()), ("n".into(), "1".into())]),
            from: Some("earliest".into()),
            max_attempts: Some(3),
            backoff: Some("fixed:1s".into()),
            order: Some("key".into()),
            max_parked: Some(7),
            dlq: Some("dead".into()),
            idempotency: Some("json:/id".into()),
            idempotency_window_ms: Some(3),
            unrouted: Some("refuse".into()),
            memory_bytes: Some(1),
            deadline_ms: Some(2),
            paused: Some(true),
        }
    }

    #[test]
    fn what_is_said_nowhere_is_left_to_the_broker() {
        let request = request("", &Deploy::default());
        assert_eq!((request.on, request.out, request.config), (None, None, None));
        assert_eq!((request.from, request.max_attempts, request.backoff), (None, None, None));
        assert_eq!((request.dlq, request.unrouted), (None, None));
        assert_eq!((request.order, request.max_parked), (None, None));
        assert_eq!((request.idempotency, request.idempotency_window_ms), (None, None));
        assert_eq!(
            (request.memory_bytes, request.deadline_ms, request.paused),
            (None, None, false)
        );
    }

    #[test]
    fn the_file_counts_where_no_flag_does() {
        let request = request("", &file());
        assert_eq!(request.on, Some(vec!["a".parse().unwrap()]));
        let grant = OutputGrant { alias: Some("x".into()), topic: "b".parse().unwrap() };
        assert_eq!(request.out, Some(vec![grant]));
        assert_eq!(request.from, Some(Position::Earliest));
        assert_eq!((request.max_attempts, request.backoff), (Some(3), Some(Backoff::Fixed(1000))));
        assert_eq!(request.dlq, Some("dead".parse().unwrap()));
        assert_eq!((request.order, request.max_parked), (Some(Order::Key), Some(7)));
        assert_eq!(request.idempotency, Some("json:/id".parse().unwrap()));
        assert_eq!(request.idempotency_window_ms, Some(3));
        assert_eq!(request.unrouted, Some(Unrouted::Refuse));
        assert_eq!(
            (request.memory_bytes, request.deadline_ms, request.paused),
            (Some(1), Some(2), true)
        );
    }

    #[test]
    fn a_flag_beats_the_file() {
        let line = "--on c d --on e --out f --out y=g --config team=edge --config k=v=w \
                    --from 7 --max-attempts 9 --backoff list:1s,2s --dlq t --unrouted keep \
                    --memory 64MiB --deadline 1s --order partition --max-parked 9 \
                    --idempotency key --idempotency-window 7d";
        let request = request(line, &file());
        let topic = |name: &str| name.parse::<TopicName>().unwrap();
        assert_eq!(request.on, Some(vec![topic("c"), topic("d"), topic("e")]));
        let out = vec![
            OutputGrant { alias: None, topic: topic("f") },
            OutputGrant { alias: Some("y".into()), topic: topic("g") },
        ];
        assert_eq!(request.out, Some(out));
        let config = [("team", "edge"), ("n", "1"), ("k", "v=w")];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(request.config, Some(config.to_vec()));
        assert_eq!(request.from, Some(Position::Offset(logmill_model::Offset(7))));
        assert_eq!(request.max_attempts, Some(9));
        assert_eq!(request.backoff, Some(Backoff::List(vec![1000, 2000])));
        assert_eq!((request.dlq, request.unrouted), (Some(topic("t")), Some(Unrouted::Keep)));
        assert_eq!((request.memory_bytes, request.deadline_ms), (Some(64 << 20), Some(1000)));
        assert_eq!((request.order, request.max_parked), (Some(Order::Partition), Some(9)));
        assert_eq!(request.idempotency, Some(Idempotency::Key));
        assert_eq!(request.idempotency_window_ms, Some(7 * 86_400_000));
    }

    #[test]
    fn flags_that_do_not_fit_the_world_are_refused() {
        for (line, fits) in [
            ("--on a --config k=v --memory 1MiB --deadline 1s --paused", &World::ALL[..]),
            ("--out b", &[World::Consumer, World::Router]),
            ("--from latest", &[World::Consumer]),
            ("--max-attempts 1", &[World::Consumer]),
            ("--backoff fixed:1s", &[World::Consumer]),
            ("--dlq d", &[World::Consumer]),
            ("--idempotency key", &[World::Consumer]),
            ("--idempotency-window 1h", &[World::Consumer]),
            ("--unrouted keep", &[World::Router]),
        ] {
            for world in World::ALL {
                let verdict = flags(line).unwrap().check_fit(world);
                assert_eq!(verdict.is_ok(), fits.contains(&world), "{line} on a {world}");
            }
        }
    }

    #[test]
    fn a_wrong_value_is_told_where_it_was_typed_or_written() {
        for line in [
            "--out =b",
            "--out x=a/b",
            "--config k",
            "--from never",
            "--backoff 1s",
            "--unrouted drop",
            "--memory lots",
            "--idempotency id",
            "--idempotency-window -1h",
            "--deadline 1",
        ] {
            assert!(flags(line).is_err(), "{line}");
        }
        let name = || "triage".parse().unwrap();
        let error = flags("--on a/b")
            .unwrap()
            .request(name(), ModuleDigest([7; 32]), None, &Deploy::default())
            .unwrap_err();
        assert!(matches!(error, Failure::Usage(_)), "{}", error.line());
        let bad = Deploy { backoff: Some("1s".into()), ..Deploy::default() };
        let error =
            Flags::default().request(name(), ModuleDigest([7; 32]), None, &bad).unwrap_err();
        assert!(error.line().starts_with("bad `backoff` in logmill.toml"), "{}", error.line());
    }
}
