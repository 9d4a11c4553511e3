use ipnet::Ipv4Net;
use serde_json::Value;

use super::options::{IpOptions, known, prefix, print_json, read_network};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{KernelRoute, LOCAL_TABLE, MAIN_TABLE, Machine};

/// Filter of a route listing; `None` matches every route.
#[derive(Default)]
struct Selection {
    table: Option<String>,
    device: Option<String>,
    protocol: Option<String>,
    gateway: Option<String>,
    exact: Option<Ipv4Net>,
    within: Option<Ipv4Net>,
}

/// Runs the command `ip route show [SELECTOR]`.
///
/// Exits with 2 for a table that has no route, as the real command does for a table that does not
/// exist.
pub(super) fn show(process: &Process, io: &Io, options: IpOptions, words: &[&str]) -> Exit {
    let selection = match selection(words) {
        Ok(selection) => selection,
        Err(message) => return process.fail(io, 1, message),
    };
    let table = match selection.table.as_deref() {
        None | Some("main") => Some(MAIN_TABLE),
        Some("local") => Some(LOCAL_TABLE),
        Some("all" | "0") => None,
        Some("default") => Some(253),
        Some(number) => match number.parse() {
            Ok(table) => Some(table),
            Err(_) => {
                return process.fail(
                    io,
                    255,
                    format!("Error: argument \"{number}\" is wrong: table id value is invalid"),
                );
            }
        },
    };
    if let Some(device) = &selection.device
        && !read_network(process, |machine, tailnet| known(machine, tailnet, device))?
    {
        return process.fail(io, 1, format!("Cannot find device \"{device}\""));
    }
    let routes = read_network(process, Machine::routes)?;
    let missing = |table: u32| {
        !matches!(table, MAIN_TABLE | LOCAL_TABLE | 253) && !routes.iter().any(|route| route.table == table)
    };
    if table.is_some_and(missing) && !options.six {
        process.print(io, if options.json { "[" } else { "" })?;
        return process.fail(io, 2, "Error: ipv4: FIB table does not exist.\nDump terminated");
    }
    let chosen: Vec<&KernelRoute> = routes
        .iter()
        .filter(|route| !options.six && table.is_none_or(|table| route.table == table) && selection.matches(route))
        .collect();
    if options.json {
        let values: Vec<Value> = chosen.iter().map(|route| route_json(route, table, &selection)).collect();
        return print_json(process, io, &values);
    }
    process.print(io, chosen.iter().map(|route| route.text()).collect::<String>())?;
    Ok(0)
}

impl Selection {
    /// Returns true if the route matches each given condition. The table is checked by the caller.
    fn matches(&self, route: &KernelRoute) -> bool {
        let gateway = route.gateway.map(|gateway| gateway.to_string());
        self.device.as_ref().is_none_or(|device| route.device.as_ref() == Some(device))
            && self.protocol.as_ref().is_none_or(|protocol| &route.protocol == protocol)
            && self.gateway.as_ref().is_none_or(|wanted| gateway.as_ref() == Some(wanted))
            && self.exact.is_none_or(|exact| route.prefix == exact)
            && self.within.is_none_or(|within| within.contains(&route.prefix))
    }
}

/// Returns a route as `ip -json route show` lists it.
///
/// A device or protocol that the command line selects is not repeated. The table is named only in a
/// listing of all tables, and only if it is not the main one.
fn route_json(route: &KernelRoute, table: Option<u32>, selection: &Selection) -> Value {
    let mut shown = route.json();
    if let Some(fields) = shown.as_object_mut() {
        if selection.device.is_some() {
            fields.shift_remove("dev");
        }
        if selection.protocol.is_some() {
            fields.shift_remove("protocol");
        }
        if table.is_none() && route.table != MAIN_TABLE {
            fields.insert("table".to_owned(), table_name(route.table).into());
        }
    }
    shown
}

/// Returns the name of a table as iproute2 shows it, or its number.
fn table_name(table: u32) -> String {
    match table {
        MAIN_TABLE => "main".to_owned(),
        LOCAL_TABLE => "local".to_owned(),
        table => table.to_string(),
    }
}

/// Parses the words of a route listing.
///
/// # Errors
///
/// The message of `ip`, if a prefix is not valid.
fn selection(words: &[&str]) -> Result<Selection, String> {
    let mut selection = Selection::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word {
            "table" => selection.table = Some(value().to_owned()),
            "dev" => selection.device = Some(value().to_owned()),
            "proto" | "protocol" => selection.protocol = Some(value().to_owned()),
            "via" => selection.gateway = Some(value().to_owned()),
            "root" => selection.within = Some(prefix(value())?),
            "exact" | "to" => selection.exact = Some(prefix(value())?),
            "scope" | "type" | "src" => drop(value()),
            "default" => selection.exact = Some(Ipv4Net::default()),
            word => selection.exact = Some(prefix(word)?),
        }
    }
    Ok(selection)
}
