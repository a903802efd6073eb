//! The broker is killed, and started again over what it left.

use std::time::Instant;

use logmill_client::Client;

use super::Story;
use super::work::Work;
use crate::Failure;
use crate::verbs::demo::child::Broker;

impl Story<'_> {
    /// In the middle of its work.
    pub(super) async fn kill_at_work(
        &mut self,
        broker: Broker,
        client: Client,
        killed: Work,
    ) -> Result<(Broker, Client), Failure> {
        let Work { done, total } = killed;
        broker.kill().await?;
        drop(client);
        self.say(format_args!("Killed the broker (SIGKILL) after {done} of {total} outcomes"))?;
        let started = Instant::now();
        let (broker, client) = Broker::start(self.folder).await?;
        let found = self.look(&client, total).await?;
        if found.done >= total {
            return Err(anyhow::anyhow!(
                "the kill met an idle broker: all {total} outcomes were there before it; run it again"
            )
            .into());
        }
        self.say(format_args!(
            "Started it again in {:.1?}: {} outcomes are there, {} records to go",
            started.elapsed(),
            found.done,
            total - found.done
        ))?;
        Ok((broker, client))
    }

    /// As soon as it has said that letters are redriven, whether they are handled or not.
    pub(super) async fn kill_again(
        &mut self,
        broker: Broker,
        client: Client,
    ) -> Result<(Broker, Client), Failure> {
        broker.kill().await?;
        drop(client);
        self.say("Killed the broker again, at once, and started it once more")?;
        Broker::start(self.folder).await
    }
}
