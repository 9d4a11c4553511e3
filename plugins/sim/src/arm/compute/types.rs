use crate::arm::assemble;
use crate::arm::behaviour::{Behaviour, always_unused, no_references, none_of_delete, none_of_write, shows_nothing};
use crate::arm::compute::{disk, instance_view, machine, show};

/// Behaviour that most compute resources share.
const PLAIN: Behaviour = Behaviour {
    prepare: None,
    show: shows_nothing,
    assemble: assemble::etag_last,
    instance_view: None,
    finish: none_of_write,
    after_delete: none_of_delete,
    references: no_references,
    check_unused: always_unused,
    is_synchronous: false,
    create_seconds: 1.5,
    delete_seconds: 3.0,
};

/// Behaviour of virtual machines.
pub(crate) const VIRTUAL_MACHINE: Behaviour = Behaviour {
    prepare: Some(machine::prepare_machine),
    show: show::machine,
    instance_view: Some(instance_view::instance_view),
    finish: machine::finish_machine,
    after_delete: machine::after_delete,
    references: machine::references,
    create_seconds: 25.0,
    delete_seconds: 30.0,
    ..PLAIN
};

/// Behaviour of managed disks.
pub(crate) const DISK: Behaviour = Behaviour {
    prepare: Some(|_, target, top, properties| disk::prepare_disk(target, top, properties)),
    show: show::disk,
    check_unused: disk::check_unused,
    create_seconds: 2.0,
    delete_seconds: 2.0,
    ..PLAIN
};

/// Behaviour of scale sets, which only AKS creates.
pub(crate) const SCALE_SET: Behaviour = Behaviour { show: show::scale_set, ..PLAIN };

/// Behaviour of instances of scale sets.
pub(crate) const SCALE_SET_VM: Behaviour = Behaviour { show: show::scale_set_vm, ..PLAIN };

/// Behaviour of NICs of scale set instances.
pub(crate) const SCALE_SET_NIC: Behaviour = Behaviour { show: show::scale_set_nic, ..PLAIN };
