use std::collections::BTreeMap;

use ipnet::Ipv4Net;

/// What pod blocks of a site are allocated from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Name of the site.
    pub site: String,
    /// The site's block.
    pub block: Ipv4Net,
    /// Length of each node's prefix.
    pub prefix_length: u8,
}

/// What became of an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// The blocks of the nodes that were asked for.
    pub allocations: BTreeMap<String, Ipv4Net>,
    /// Everything that is to be recorded now: what was, what was adopted and what is new. Equal to what was: nothing to write.
    pub record: BTreeMap<String, Ipv4Net>,
    /// How many more nodes the site has room for.
    pub room: usize,
}

/// Why no blocks can be allocated. Nothing is to be recorded then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// A node's prefix is not a part of the site's block.
    #[error("/{prefix_length} is no part of the pod block of site {site}, {block}")]
    Length {
        /// The site.
        site: String,
        /// Its block.
        block: Ipv4Net,
        /// What was asked for.
        prefix_length: u8,
    },
    /// Two owners of the same addresses.
    #[error("pod block {first} of {first_owner} overlaps {second} of {second_owner}")]
    Collision {
        /// A block.
        first: Ipv4Net,
        /// Whose it is.
        first_owner: String,
        /// The other block.
        second: Ipv4Net,
        /// Whose that is.
        second_owner: String,
    },
    /// A node runs with another block than the recorded one.
    #[error("{node} is recorded with pod block {recorded} but runs with {running}")]
    Moved {
        /// The node.
        node: String,
        /// What the record says.
        recorded: Ipv4Net,
        /// What it is to be adopted with.
        running: Ipv4Net,
    },
    /// The site has no block left.
    #[error("pod block of site {site}, {block}, has no free /{prefix_length} for {node}")]
    Exhausted {
        /// The site.
        site: String,
        /// Its block.
        block: Ipv4Net,
        /// What was asked for.
        prefix_length: u8,
        /// The first node that gets none.
        node: String,
    },
    /// A prefix names an address inside itself.
    #[error("pod block {prefix} of {owner} has host bits set; the prefix is {}", prefix.trunc())]
    HostBits {
        /// The prefix.
        prefix: Ipv4Net,
        /// Whose it is.
        owner: String,
    },
}

/// Allocates a pod block to each of `nodes`.
///
/// A recorded node keeps its block, whatever became of the machine. A node of `adopt` that is not recorded keeps the block it runs
/// with, inside the site's block or not. Every other node gets the lowest block that is free, in the order of `nodes`. `taken` are
/// blocks of others, such as AKS's nodes, with their owners. Recorded blocks of nodes that are not asked for stay theirs.
///
/// # Errors
/// See [`AllocationError`]; overlaps name both owners.
pub fn allocate(
    pool: &Pool,
    recorded: &BTreeMap<String, Ipv4Net>,
    adopt: &BTreeMap<String, Ipv4Net>,
    taken: &[(Ipv4Net, String)],
    nodes: &[String],
) -> Result<Allocated, AllocationError> {
    check_length(pool)?;
    let mut record = adopted(recorded, adopt)?;
    let mut used: Vec<(Ipv4Net, String)> = record.iter().map(|(node, block)| (*block, node.clone())).collect();
    // A node of the record may be listed as an owner too.
    used.extend(taken.iter().filter(|(block, owner)| record.get(owner) != Some(block)).cloned());
    check_apart(&mut used)?;
    let mut free = free(pool, &used);
    for node in nodes {
        if !record.contains_key(node) {
            let block = free.next().ok_or_else(|| exhausted(pool, node))?;
            record.insert(node.clone(), block);
        }
    }
    let room = free.count();
    let allocations = nodes.iter().filter_map(|node| record.get(node).map(|block| (node.clone(), *block))).collect();
    Ok(Allocated { allocations, record, room })
}

fn check_length(pool: &Pool) -> Result<(), AllocationError> {
    let Pool { site, block, prefix_length } = pool;
    if block.trunc() != *block {
        return Err(AllocationError::HostBits { prefix: *block, owner: format!("site {site}") });
    }
    if (block.prefix_len()..=32).contains(prefix_length) {
        return Ok(());
    }
    Err(AllocationError::Length { site: site.clone(), block: *block, prefix_length: *prefix_length })
}

fn adopted(
    recorded: &BTreeMap<String, Ipv4Net>,
    adopt: &BTreeMap<String, Ipv4Net>,
) -> Result<BTreeMap<String, Ipv4Net>, AllocationError> {
    let mut record = recorded.clone();
    for (node, running) in adopt {
        let (node, running) = (node.clone(), *running);
        match *record.entry(node.clone()).or_insert(running) {
            recorded if recorded == running => {}
            recorded => return Err(AllocationError::Moved { node, recorded, running }),
        }
    }
    Ok(record)
}

/// Sorted, an overlap is always one of neighbours.
fn check_apart(used: &mut [(Ipv4Net, String)]) -> Result<(), AllocationError> {
    if let Some((prefix, owner)) = used.iter().find(|(block, _)| block.trunc() != *block).cloned() {
        return Err(AllocationError::HostBits { prefix, owner });
    }
    used.sort_by_key(|(block, _)| (block.network(), block.prefix_len()));
    match used.windows(2).find(|pair| pair[0].0.contains(&pair[1].0)) {
        None => Ok(()),
        Some(pair) => Err(AllocationError::Collision {
            first: pair[0].0,
            first_owner: pair[0].1.clone(),
            second: pair[1].0,
            second_owner: pair[1].1.clone(),
        }),
    }
}

fn free<'a>(pool: &Pool, used: &'a [(Ipv4Net, String)]) -> impl Iterator<Item = Ipv4Net> + 'a {
    let all = pool.block.subnets(pool.prefix_length).expect("the length was checked");
    // Both are sorted: what ends before a candidate ends before every later one.
    let mut passed = 0;
    all.filter(move |candidate| {
        passed += used[passed..].iter().take_while(|(block, _)| block.broadcast() < candidate.network()).count();
        used.get(passed).is_none_or(|(block, _)| block.network() > candidate.broadcast())
    })
}

fn exhausted(pool: &Pool, node: &str) -> AllocationError {
    let Pool { site, block, prefix_length } = pool.clone();
    AllocationError::Exhausted { site, block, prefix_length, node: node.to_owned() }
}
