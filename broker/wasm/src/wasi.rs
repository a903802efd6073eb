//! WASI 0.2 for guests whose language can't do without it, granting nothing.
//!
//! There are no files, arguments, variables, addresses or names; standard input is at its end; what
//! is printed goes to the module's log. The clocks stand at the time of the call and the random
//! numbers come from its seed, so that a replay sees the same. **Nothing here blocks the thread**:
//! waiting on a clock lets the guest's own time pass, and is a failure where that outlasts the
//! deadline. wasmtime-wasi answers what needs no answer from us; what would block, wait, read the
//! machine's clock or start an executor is answered by the files below.

mod clocks;
mod network;
mod random;
mod streams;

use std::sync::Arc;

use logmill_model::Timestamp;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{
    cli, clocks as bound_clocks, filesystem, random as bound_random,
};
use wasmtime_wasi::p2::bindings::{sockets, sync};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::host::Host;
use clocks::GuestTime;

/// Most streams and pollables that one instance may hold.
const RESOURCES_MAX: usize = 4096;

/// What an instance holds of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    time: Arc<GuestTime>,
}

impl Wasi {
    fn new(now: Timestamp) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let ctx = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { ctx, table, time: Arc::new(GuestTime::new(now)) }
    }

    /// Sets the clocks to the time of the next call.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.time.set(now);
    }
}

impl Host {
    fn wasi(&mut self) -> &mut Wasi {
        let now = self.now;
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(now)))
    }

    fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Links all of it.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    add_ours(linker)?;
    add_theirs(linker)
}

/// What is answered by the files of this folder.
fn add_ours(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    type Own = HasSelf<Host>;
    bound_clocks::wall_clock::add_to_linker::<Host, Own>(linker, |host| host)?;
    bound_clocks::monotonic_clock::add_to_linker::<Host, Own>(linker, |host| host)?;
    bound_random::random::add_to_linker::<Host, Own>(linker, |host| host)?;
    bound_random::insecure::add_to_linker::<Host, Own>(linker, |host| host)?;
    bound_random::insecure_seed::add_to_linker::<Host, Own>(linker, |host| host)?;
    cli::stdout::add_to_linker::<Host, Own>(linker, |host| host)?;
    cli::stderr::add_to_linker::<Host, Own>(linker, |host| host)?;
    sync::io::poll::add_to_linker::<Host, Own>(linker, |host| host)?;
    sync::io::streams::add_to_linker::<Host, Own>(linker, |host| host)?;
    let options = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<Host, Own>(linker, &options, |host| host)?;
    sockets::ip_name_lookup::add_to_linker::<Host, Own>(linker, |host| host)?;
    sync::sockets::udp_create_socket::add_to_linker::<Host, Own>(linker, |host| host)
}

/// What is answered by wasmtime-wasi: it finds nothing, or needs a handle that nobody has.
fn add_theirs(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    sync::io::error::add_to_linker::<Host, HasSelf<ResourceTable>>(linker, Host::table)?;
    cli::environment::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::exit::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_input::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_output::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdout::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stderr::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(linker, Host::filesystem)?;
    sync::filesystem::types::add_to_linker::<Host, WasiFilesystem>(linker, Host::filesystem)?;
    sockets::instance_network::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sync::sockets::tcp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sync::sockets::udp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)
}
