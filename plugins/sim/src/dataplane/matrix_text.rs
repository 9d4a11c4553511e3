use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::host::AKS;
use super::matrix::{MatrixCell, PathMatrix};
use super::path::Endpoint;

/// Pods of one site, each with its number in the table.
type Group<'a> = (String, Vec<(usize, &'a Endpoint)>);

impl PathMatrix {
    /// Returns the matrix as text: a table with a mark for each pair, senders in rows and answering
    /// ends in columns, by site; below it a line for each dead pair, with place and reason.
    pub fn text(&self) -> String {
        let cells: BTreeMap<(&str, &str), &MatrixCell> =
            self.cells.iter().map(|cell| ((cell.from.as_str(), cell.to.as_str()), cell)).collect();
        let groups = self.groups();
        let mut text = self.summary();
        text.push_str(&header(&groups, self.name_width()));
        for (site, pods) in &groups {
            for (row, (number, pod)) in pods.iter().enumerate() {
                let site = if row == 0 { site.as_str() } else { "" };
                let name = pad(&pod.name, self.name_width());
                let left = format!("{}{number:>4} {name}", pad(site, site_width(&groups)));
                let marks = groups.iter().map(|group| marks(group, pod, &cells)).collect::<Vec<_>>();
                line(&mut text, &left, &marks);
            }
        }
        if !self.cells.is_empty() {
            text.push_str("\n+ answers   ~ answers, but sees another source address   x dead   . itself\n");
        }
        text + &self.deaths()
    }

    /// Formats the first line with the number of answers.
    fn summary(&self) -> String {
        let hidden = self.cells.iter().filter(|cell| cell.ok && !cell.source_kept).count();
        let kept = match hidden {
            0 => "source addresses kept".to_owned(),
            hidden => format!("{hidden} of them with another source address"),
        };
        let total = self.cells.len();
        format!("{} of {total} pairs answer, {kept}\n\n", total - self.dead)
    }

    /// Returns the pods by site: AKS first, then the other sites by name.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut pods: Vec<&Endpoint> = self.pods.iter().collect();
        pods.sort_by_key(|pod| (pod.site != AKS, &pod.site));
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (number, pod) in (1..).zip(pods) {
            let site = if pod.site.is_empty() { "no machine" } else { &pod.site };
            match groups.last_mut().filter(|(last, _)| last == site) {
                Some((_, pods)) => pods.push((number, pod)),
                None => groups.push((site.to_owned(), vec![(number, pod)])),
            }
        }
        groups
    }

    fn name_width(&self) -> usize {
        self.pods.iter().map(|pod| pod.name.chars().count()).max().unwrap_or_default()
    }

    /// Formats a line for each dead pair.
    fn deaths(&self) -> String {
        let dead = self.cells.iter().filter_map(|cell| Some((cell, cell.died.as_ref()?)));
        let lines = dead.map(|(cell, died)| {
            let cause = serde_json::to_value(died.cause).unwrap_or_default();
            let cause = cause.as_str().unwrap_or_default();
            format!("{} -> {}: dies at {}: {} ({cause})\n", cell.from, cell.to, died.at, died.why)
        });
        let lines: String = lines.collect();
        if lines.is_empty() { lines } else { format!("\n{lines}") }
    }
}

fn site_width(groups: &[Group<'_>]) -> usize {
    groups.iter().map(|(site, _)| site.chars().count()).max().unwrap_or_default()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// Formats a number or a mark in its column.
fn pad_left(what: &dyn std::fmt::Display) -> String {
    format!("{what:>4}")
}

/// Formats the heading: the sites, and below them the numbers of their pods.
fn header(groups: &[Group<'_>], names: usize) -> String {
    let left = " ".repeat(site_width(groups) + 5 + names);
    let mut text = String::new();
    let sites: Vec<String> = groups.iter().map(|group| pad(&format!("   {}", group.0), width_of(group))).collect();
    line(&mut text, &left, &sites);
    let numbers = groups.iter().map(|group| {
        let numbers: String = group.1.iter().map(|(number, _)| pad_left(number)).collect();
        pad(&numbers, width_of(group))
    });
    line(&mut text, &left, &numbers.collect::<Vec<_>>());
    text
}

fn width_of((site, pods): &Group<'_>) -> usize {
    (4 * pods.len()).max(site.chars().count() + 3)
}

/// Formats the marks of one row below one site.
fn marks(group: &Group<'_>, from: &Endpoint, cells: &BTreeMap<(&str, &str), &MatrixCell>) -> String {
    let mark = |to: &Endpoint| match cells.get(&(from.name.as_str(), to.name.as_str())) {
        None => '.',
        Some(cell) if !cell.ok => 'x',
        Some(cell) if !cell.source_kept => '~',
        Some(_) => '+',
    };
    let marks: String = group.1.iter().map(|(_, to)| pad_left(&mark(to))).collect();
    pad(&marks, width_of(group))
}

fn line(text: &mut String, left: &str, columns: &[String]) {
    let whole = format!("{left}{}", columns.iter().fold(String::new(), |all, column| all + " " + column));
    writeln!(text, "{}", whole.trim_end()).expect("writing to a string does not fail");
}
