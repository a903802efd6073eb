//! Control streams: one request, one reply.

mod backup;
mod clock_accept;
mod dlq_ls;
mod dlq_purge;
mod dlq_redrive;
mod module_delete;
mod module_deploy;
mod module_describe;
mod module_logs;
mod module_ls;
mod module_pause;
mod module_reset;
mod module_resume;
mod module_state;
mod producer_register;
mod status;
mod topic_alter;
mod topic_create;
mod topic_delete;
mod topic_describe;
mod topic_ls;
mod trace;

use logmill_engine::Error;
use logmill_model::Offset;
use logmill_wire::{Message, Request, Response};
use tracing::debug;

use crate::broker::Client;
use crate::stream::FrameWriter;
use crate::{fault, metrics};

pub(crate) async fn control(client: &Client, bytes: &[u8], mut writer: FrameWriter) {
    let request = match Request::from_bytes(bytes) {
        Ok(request) => request,
        Err(error) => return writer.refuse(fault::of_wire(&error)).await,
    };
    let operation = operation(&request);
    metrics::request(operation);
    match handle(client, request).await {
        Ok(response) => {
            debug!(operation, "answered");
            if writer.reply(&response).await.is_ok() {
                writer.finish().await;
            }
        }
        Err(error) => {
            debug!(operation, %error, "refused");
            writer.refuse(fault::of_engine(&error)).await;
        }
    }
}

async fn handle(client: &Client, request: Request) -> Result<Response, Error> {
    let engine = client.engine();
    match request {
        Request::TopicCreate { topic, partitions, policy } => {
            topic_create::handle(engine, &topic, partitions, policy).await
        }
        Request::TopicAlter { topic, change } => topic_alter::handle(engine, &topic, &change).await,
        Request::TopicLs => Ok(topic_ls::handle(engine)),
        Request::TopicDescribe { topic } => topic_describe::handle(engine, &topic),
        Request::TopicDelete { topic } => topic_delete::handle(engine, &topic).await,
        Request::ProducerRegister { name } => producer_register::handle(engine, name).await,
        Request::Status => Ok(status::handle(engine)),
        Request::Backup { to } => backup::handle(engine, to).await,
        Request::ClockAccept => Ok(clock_accept::handle(engine)),
        Request::ModuleDeploy(deploy) => module_deploy::handle(engine, deploy).await,
        Request::ModuleLs => Ok(module_ls::handle(engine)),
        Request::ModuleDescribe { name } => module_describe::handle(engine, &name),
        Request::ModulePause { name } => module_pause::handle(engine, &name).await,
        Request::ModuleResume { name, skip_lost } => {
            module_resume::handle(engine, &name, skip_lost).await
        }
        Request::ModuleReset(reset) => module_reset::handle(engine, reset).await,
        Request::Trace { topic, partition, offset } => {
            trace::handle(engine, &topic, partition, offset).await
        }
        Request::ModuleDelete { name } => module_delete::handle(engine, &name).await,
        Request::ModuleState(query) => module_state::handle(engine, query).await,
        Request::ModuleLogs { name, after, max, wait_ms } => {
            module_logs::handle(client, &name, after, max, wait_ms).await
        }
        Request::DlqLs { name, partition, from, to, max } => {
            dlq_ls::handle(engine, &name, partition, from..to.unwrap_or(Offset(u64::MAX)), max)
                .await
        }
        Request::DlqRedrive { name, partition, offsets, dry_run } => {
            dlq_redrive::handle(engine, &name, partition, &offsets, dry_run).await
        }
        Request::DlqPurge { name, partition, offsets } => {
            dlq_purge::handle(engine, &name, partition, &offsets).await
        }
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::TopicCreate { .. } => "topic.create",
        Request::TopicAlter { .. } => "topic.alter",
        Request::TopicLs => "topic.ls",
        Request::TopicDescribe { .. } => "topic.describe",
        Request::TopicDelete { .. } => "topic.delete",
        Request::ProducerRegister { .. } => "producer.register",
        Request::Status => "status",
        Request::Backup { .. } => "backup",
        Request::ClockAccept => "clock.accept",
        Request::ModuleDeploy(_) => "module.deploy",
        Request::ModuleLs => "module.ls",
        Request::ModuleDescribe { .. } => "module.describe",
        Request::ModulePause { .. } => "module.pause",
        Request::ModuleResume { .. } => "module.resume",
        Request::ModuleReset(_) => "module.reset",
        Request::Trace { .. } => "trace",
        Request::ModuleDelete { .. } => "module.delete",
        Request::ModuleState(_) => "module.state",
        Request::ModuleLogs { .. } => "module.logs",
        Request::DlqLs { .. } => "dlq.ls",
        Request::DlqRedrive { .. } => "dlq.redrive",
        Request::DlqPurge { .. } => "dlq.purge",
    }
}
