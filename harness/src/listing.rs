//! `pso list`: the spaces of this user on this machine.

use pso_engine::platform::native::{Place, attach, list_spaces};

use crate::cli::List;
use crate::failure::Failure;
use crate::output;
use crate::table::{Table, bytes};

/// The subcommand.
pub fn run(options: &List) -> Result<(), Failure> {
    let names = list_spaces();
    if options.names {
        return names.iter().try_for_each(output::line);
    }
    if names.is_empty() {
        return output::line("no spaces");
    }
    let mut table = Table::new(["name", "size", "in memory", "state"]);
    for name in names {
        let row = match attach(&Place::Name(name.clone())) {
            Ok((platform, _)) => [bytes(platform.bytes()), bytes(platform.committed_bytes()), "good".into()],
            Err(error) => ["-".into(), "-".into(), error.to_string()],
        };
        table.row(std::iter::once(name).chain(row));
    }
    output::text(table)
}
