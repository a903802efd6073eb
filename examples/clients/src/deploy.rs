//! Uploads a component, deploys it as a consumer, and prints where it starts.
//!
//! ```text
//! $ cargo run --release --bin example-deploy -- shout.wasm orders loud
//! shout version 1 reads orders from partition 0, offset 100
//! ```
//!
//! Deploying again under the same name adds a version, which takes over where the one before
//! stopped. What is left at `None` comes from that version, else from the defaults.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use std::path::PathBuf;

use anyhow::{Context, bail};
use logmill_client::{Client, ConnectOptions, DeployRequest, OutputGrant, TopicName, World};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, source, output] = &arguments[..] else {
        bail!("say what, on and to: example-deploy FILE.wasm SOURCE OUTPUT");
    };
    let file = PathBuf::from(file);
    let name = file.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
    let component =
        std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
    let topic: TopicName = output.parse()?;

    let client = Client::connect(ConnectOptions::discover(None)?).await?;
    let module = client.admin().upload(component.into()).await?;
    let deployed = client
        .admin()
        .deploy(DeployRequest {
            world: Some(World::Consumer),
            on: Some(vec![source.parse()?]),
            out: Some(vec![OutputGrant { alias: None, topic }]),
            max_attempts: Some(3),
            ..DeployRequest::new(name.parse()?, module.digest)
        })
        .await?;

    for start in &deployed.start {
        let (version, topic) = (deployed.version, &start.topic);
        let (partition, offset) = (start.partition, start.offset);
        println!(
            "{name} version {version} reads {topic} from partition {partition}, offset {offset}"
        );
    }
    client.close().await;
    Ok(())
}
