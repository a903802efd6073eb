//! Backups that are made and opened.

use std::sync::Arc;

use logmill_log::backup::{Copied, Target};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Error, Log};

use super::{Running, settings};

/// Makes or goes on with a backup. `go_on` is asked after each file.
pub(crate) fn back_up(
    log: &Log,
    to: &FaultyStorage,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Copied, Error> {
    let cut = log.cut().expect("no file comes or goes");
    let target = Target::begin(Arc::new(to.clone()), cut.cluster(), &[])?;
    let copied = cut.copy_to(&target, go_on)?;
    let files: Vec<String> = copied.files.iter().map(|(path, _)| path.clone()).collect();
    target.finish(&files, &[], b"{}")?;
    Ok(copied)
}

/// Opens a backup and checks that it holds the commits up to `last`, and goes on from there.
pub(crate) fn check_backup(backup: &FaultyStorage, last: u64) -> Result<(), String> {
    let mut running = Running::open(backup, settings()).map_err(|error| error.to_string())?;
    if running.recovered.last_csn.0 != last {
        return Err(format!("{:?} where {last} entries were", running.recovered));
    }
    if running.recovered.unclean {
        return Err("the backup looks like a crash".to_owned());
    }
    running.check()?;
    running.run(5, 2);
    running.check_reads(logmill_model::Csn(last + 5))?;
    running.close().map_err(|error| error.to_string())
}

/// A backup of which the power is cut when it is finished.
pub(crate) fn cut_a_backup(prepare: &dyn Fn(&FaultyStorage)) -> Result<(), String> {
    for seed in 0..20 {
        let mut running = Running::open(&FaultyStorage::new(), settings()).unwrap();
        running.run(60, 5);
        let backup = FaultyStorage::new();
        prepare(&backup);
        back_up(&running.log, &backup, &mut |_| true).map_err(|error| error.to_string())?;
        backup.power_cut(seed);
        check_backup(&backup, 60).map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}
