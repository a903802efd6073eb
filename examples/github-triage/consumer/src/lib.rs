//! Shows a consumer: it triages GitHub issues and pull requests.
//!
//! Each record gets one of four verdicts, all of which occur here:
//!
//! - **done**: what it says is checked, put in order, and sent on, with alerts where somebody
//!   should look;
//! - **drop**: it changes nothing that triage cares about;
//! - **retry**: GitHub has not finished working on it;
//! - **dead letter**: it can't be handled, now or later.
//!
//! A handler decides from the record and the attempt alone, so that it decides the same when the
//! broker restarts in the middle.

mod alert;
mod event;
mod triaged;

use logmill_module::prelude::*;

use event::{Event, Kind};

struct Triage {
    team: String,
    alert_labels: Vec<String>,
    mergeable_attempts: u32,
    deleted_author: Option<String>,
}

impl Consumer for Triage {
    fn init(config: &Config) -> Result<Self> {
        let alert_labels = config.get("alert_labels").unwrap_or("bug,security");
        Ok(Self {
            team: config.require("team")?.to_owned(),
            alert_labels: alert_labels.split(',').map(|label| label.trim().to_owned()).collect(),
            mergeable_attempts: config.parse("mergeable_attempts")?.unwrap_or(3),
            deleted_author: config.get("deleted_author").map(str::to_owned),
        })
    }

    fn handle(&mut self, message: Message) -> Result<Verdict> {
        let kind = match message.header_text("event") {
            Some("issues") => Kind::Issue,
            Some("pull_request") => Kind::PullRequest,
            _ => return Ok(Verdict::drop("neither an issue nor a pull request")),
        };
        // A record without a value is an error, hence a failed attempt: `?` is all it takes.
        let deleted_author = self.deleted_author.as_deref();
        let event = match Event::read(kind, message.value_bytes()?, deleted_author) {
            Ok(event) => event,
            Err(reason) => return Ok(Verdict::dead_letter(reason)),
        };
        if matches!(event.action.as_str(), "locked" | "unlocked") {
            return Ok(Verdict::drop("locking changes nothing for triage"));
        }
        if let Some(reason) = self.not_ready(&event, message.attempt) {
            return Ok(Verdict::retry(reason));
        }
        Ok(Verdict::done(self.outputs(&event, &message)?))
    }
}

impl Triage {
    /// GitHub works some things out only after it has sent the event. The first is worth a short
    /// wait and does without in the end; the second is asked for until the attempts run out.
    fn not_ready(&self, event: &Event, attempt: u32) -> Option<&'static str> {
        let pull_request = event.pull_request.as_ref()?;
        if event.state == "open"
            && pull_request.mergeable.is_none()
            && attempt < self.mergeable_attempts
        {
            return Some("GitHub has not worked out yet whether it can be merged");
        }
        if pull_request.merged && pull_request.merge_commit_sha.is_none() {
            return Some("it is merged, but its commit is not known yet");
        }
        None
    }

    fn outputs(&self, event: &Event, message: &Message) -> Result<Vec<Output>> {
        let topic = match event.kind {
            Kind::Issue => "issues",
            Kind::PullRequest => "pull_requests",
        };
        let mut outputs = vec![match event.action.as_str() {
            // A record without a value says that there is nothing under this key any more.
            "deleted" | "transferred" => Output::to(topic),
            _ => Output::to(topic).value(triaged::json(event, &self.team)?),
        }];
        for kind in alert::kinds(event, &self.alert_labels) {
            info!("{kind}: {}", event.key());
            outputs.push(Output::to("alerts").value(alert::json(&kind, event, &self.team)?));
        }
        let delivery = message.header("delivery").unwrap_or_default();
        let complete = |output: Output| output.key(event.key()).header("delivery", delivery);
        Ok(outputs.into_iter().map(complete).collect())
    }
}

logmill_module::consumer!(Triage);

#[cfg(test)]
mod tests;
