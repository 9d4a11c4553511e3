use crate::arm::behaviour::{Consequences, NewResource, PowerChange};
use crate::arm::resource_types::behaviour;
use crate::arm::store::{Arm, StoredResource};

/// Applies what a behaviour returned to the store: the only place that does.
pub(crate) fn perform(arm: &mut Arm, consequences: Consequences) {
    let Consequences { new_groups, new, gone, gone_groups, power, created_machine, events } = consequences;
    for group in new_groups {
        arm.put_group(&group.name, &group.location, None, group.managed_by);
    }
    if let Some(change) = power {
        set_power(arm, &change);
    }
    for resource in new {
        create(arm, resource);
    }
    arm.published.created.extend(created_machine);
    arm.published.pending.extend(events);
    for id in gone {
        remove(arm, &id);
    }
    for name in gone_groups {
        remove_group(arm, &name);
    }
}

/// Stores the power state of a machine and increments its counting etag.
fn set_power(arm: &mut Arm, change: &PowerChange) {
    if let Some(machine) = arm.find_mut(&change.machine) {
        machine.hidden.insert("power".to_owned(), change.state.into());
        machine.version += 1;
    }
}

/// Stores a new resource with identifiers of its own.
fn create(arm: &mut Arm, new: NewResource) {
    let mut resource = arm.fresh(new.id, new.kind, new.created);
    resource.top = new.top;
    resource.properties = new.properties;
    if let Some(name) = new.name {
        resource.name = name;
    }
    arm.insert(resource);
}

/// Removes a resource and its children from the store, and performs the consequences. An unknown id
/// is ignored.
pub(crate) fn remove(arm: &mut Arm, id: &str) {
    let key = id.to_ascii_lowercase();
    let Some(resource) = arm.resources.get(&key).cloned() else { return };
    let behaviour = behaviour(resource.kind);
    let related = (behaviour.references)(arm, &resource);
    let prefix = format!("{key}/");
    arm.resources.retain(|other, _| *other != key && !other.starts_with(&prefix));
    for id in related {
        arm.touch(&id);
    }
    let consequences = (behaviour.after_delete)(arm, &resource);
    perform(arm, consequences);
}

/// Removes a group from the store, with its resources and deployments. An unknown name is ignored.
pub(crate) fn remove_group(arm: &mut Arm, name: &str) {
    let prefix = format!("/subscriptions/{}/resourcegroups/{}/", arm.subscription, name).to_ascii_lowercase();
    let in_group = |resource: &&StoredResource| !resource.kind.is_child() && resource.key().starts_with(&prefix);
    let mut ids: Vec<(u64, String)> =
        arm.resources.values().filter(in_group).map(|resource| (resource.order, resource.id.clone())).collect();
    // The latest first: machines before their NICs, NICs before their networks.
    ids.sort_by(|left, right| right.cmp(left));
    for (_, id) in ids {
        remove(arm, &id);
    }
    arm.deployments.retain(|key, _| !key.starts_with(&prefix));
    arm.groups.remove(&name.to_ascii_lowercase());
}
