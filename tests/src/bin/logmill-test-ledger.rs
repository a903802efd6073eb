//! Compares what became of the inputs of a deployment with what their producers were told: a program of its
//! own, which has nothing but that file and the broker, so that it can't know what the test believes.
//!
//! `logmill-test-ledger CONNECTION-FILE TOLD DEPLOYMENT`. Each line of TOLD is an input:
//! `{"id":7,"verb":"flaky 2","topic":"in","partition":1,"offset":5}`, without a place when the answer was cut
//! off. It prints a line for each difference and one that sums up, and ends with 0 when there is no difference,
//! with 1 when there is one, and with 2 when it can't tell. An input takes 40 bytes.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use logmill_client::{Client, ConnectOptions, ConnectionFile};
use logmill_tests::outcomes::compare;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [connection, told, deployment] = &args[..] else {
        bail!("usage: logmill-test-ledger CONNECTION-FILE TOLD DEPLOYMENT")
    };
    let connection = ConnectionFile::load(Path::new(connection))?;
    let told = BufReader::new(File::open(told).with_context(|| format!("opening {told}"))?);
    let client = Client::connect(ConnectOptions::from(connection)).await?;
    let compared = compare(&client, told, deployment.parse()?).await?;
    client.close().await;
    let mut stdout = std::io::stdout().lock();
    for difference in &compared.differences {
        writeln!(stdout, "{}", serde_json::to_string(difference)?)?;
    }
    writeln!(stdout, "{}", serde_json::to_string(&compared.summary)?)?;
    Ok(if compared.summary.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
