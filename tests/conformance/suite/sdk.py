"""The Azure SDKs for Python against the world."""

import os

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource import ResourceManagementClient

from report import same
from world import CLUSTER, LOCATION, NODE_GROUP

GROUP = "conformance-sdk"
# What the world's instructions log in with.
CLIENT, SECRET = "22222222-2222-2222-2222-222222222222", "stargate-sim-secret"


def run(report, world, recorder):
    """Makes clients with a credential of the world's own authority, and uses each."""
    os.environ["REQUESTS_CA_BUNDLE"] = world["ca"]
    with report.check("SDK: a credential gets a token"):
        credential = ClientSecretCredential(
            world["tenant"], CLIENT, SECRET, authority=recorder.https, disable_instance_discovery=True
        )
        assert credential.get_token(f"{recorder.https}/.default").token, "no token"
    how = {
        "credential": credential,
        "subscription_id": world["subscription"],
        "base_url": recorder.https,
        "credential_scopes": [f"{recorder.https}/.default"],
        "polling_interval": 1,
    }
    resource = ResourceManagementClient(**how)
    network = NetworkManagementClient(**how)
    compute = ComputeManagementClient(**how)
    groups(report, resource)
    tables(report, network)
    subnet = networks(report, network)
    machine(report, network, compute, world, subnet)
    disks(report, compute)
    clusters(report, ContainerServiceClient(**how), compute)
    with report.check("SDK: a group is deleted with all in it"):
        resource.resource_groups.begin_delete(GROUP).result()
        same(resource.resource_groups.check_existence(GROUP), False, "exists")


def refused(kind, status, code, call, *arguments, **more):
    """The error of a call that is to be refused with `status` and `code`."""
    try:
        result = call(*arguments, **more)
        if hasattr(result, "result"):
            result.result()
    except kind as error:
        same((error.status_code, error.error.code), (status, code), "refusal")
        return error.error
    raise AssertionError("it was not refused")


def groups(report, resource):
    with report.check("SDK: groups are made, shown, listed"):
        made = resource.resource_groups.create_or_update(GROUP, {"location": LOCATION})
        same(made.properties.provisioning_state, "Succeeded", "state")
        same(resource.resource_groups.get(GROUP).location, LOCATION, "location")
        assert GROUP in [group.name for group in resource.resource_groups.list()], "not listed"
    with report.check("SDK: a group that is not there"):
        refused(ResourceNotFoundError, 404, "ResourceGroupNotFound", resource.resource_groups.get, "nowhere")


def tables(report, network):
    with report.check("SDK: a route table and a route by pollers"):
        table = network.route_tables.begin_create_or_update(GROUP, "table", {"location": LOCATION}).result()
        same(table.provisioning_state, "Succeeded", "state")
        route = {"address_prefix": "10.50.0.0/16", "next_hop_type": "VirtualAppliance", "next_hop_ip_address": "10.1.0.4"}
        made = network.routes.begin_create_or_update(GROUP, "table", "r1", route).result()
        same((made.name, made.address_prefix, made.provisioning_state), ("r1", "10.50.0.0/16", "Succeeded"))
        same([one.name for one in network.routes.list(GROUP, "table")], ["r1"], "routes")
        same([one.name for one in network.route_tables.list(GROUP)], ["table"], "tables")
    with report.check("SDK: If-Match with an old etag is 412 and changes nothing"):
        old = network.route_tables.get(GROUP, "table").etag
        write = network.route_tables.begin_create_or_update
        write(GROUP, "table", {"location": LOCATION, "tags": {"a": "b"}}).result()
        changed = {"location": LOCATION, "tags": {"a": "c"}}
        error = refused(
            HttpResponseError, 412, "PreconditionFailed", write, GROUP, "table", changed, headers={"If-Match": old}
        )
        same(error.details[0].code, "PreconditionFailedEtagMismatch", "detail")
        same(network.route_tables.get(GROUP, "table").tags, {"a": "b"}, "tags")
    with report.check("SDK: what is not there: a table, a route, a route of no table"):
        refused(ResourceNotFoundError, 404, "ResourceNotFound", network.route_tables.get, GROUP, "none")
        refused(ResourceNotFoundError, 404, "NotFound", network.routes.get, GROUP, "table", "none")
        refused(ResourceNotFoundError, 404, "ResourceNotFound", network.routes.get, GROUP, "none", "none")
    with report.check("SDK: deleting, and deleting what is gone"):
        network.route_tables.begin_delete(GROUP, "table").result()
        network.route_tables.begin_delete(GROUP, "table").result()
        same([one.name for one in network.route_tables.list(GROUP)], [], "tables")


def networks(report, network):
    with report.check("SDK: a network, its subnets, and their refusals"):
        space = {"location": LOCATION, "address_space": {"address_prefixes": ["10.1.0.0/16"]}}
        network.virtual_networks.begin_create_or_update(GROUP, "net", space).result()
        write = network.subnets.begin_create_or_update
        subnet = write(GROUP, "net", "a", {"address_prefix": "10.1.0.0/24"}).result()
        overlap = {"address_prefix": "10.1.0.128/25"}
        refused(HttpResponseError, 400, "NetcfgSubnetRangesOverlap", write, GROUP, "net", "b", overlap)
        outside = {"address_prefix": "10.2.0.0/24"}
        refused(HttpResponseError, 400, "NetcfgInvalidSubnet", write, GROUP, "net", "b", outside)
        same([one.name for one in network.subnets.list(GROUP, "net")], ["a"], "subnets")
        return subnet


def machine(report, network, compute, world, subnet):
    with report.check("SDK: a public address, a NIC"):
        standard = {"location": LOCATION, "sku": {"name": "Standard"}, "public_ip_allocation_method": "Static"}
        public = network.public_ip_addresses.begin_create_or_update(GROUP, "ip", standard).result()
        inner = {"name": "one", "subnet": {"id": subnet.id}, "public_ip_address": {"id": public.id}}
        body = {"location": LOCATION, "ip_configurations": [inner], "enable_ip_forwarding": True}
        nic = network.network_interfaces.begin_create_or_update(GROUP, "nic", body).result()
        same((nic.enable_ip_forwarding, nic.ip_configurations[0].private_ip_address), (True, "10.1.0.4"))
    with report.check("SDK: a machine is made, seen to run, and deleted"):
        vms = compute.virtual_machines
        made = vms.begin_create_or_update(GROUP, "vm", machine_body(world, nic)).result()
        same(made.provisioning_state, "Succeeded", "state")
        view = vms.instance_view(GROUP, "vm")
        same(view.statuses[-1].code, "PowerState/running", "power")
        same([one.name for one in vms.list(GROUP)], ["vm"], "machines")
        again = vms.begin_create_or_update(GROUP, "vm", machine_body(world, nic)).result()
        same(again.vm_id, made.vm_id, "id")
        taken = {"if_none_match": "*"}
        refused(
            HttpResponseError, 412, "PreconditionFailed", vms.begin_create_or_update, GROUP, "vm",
            machine_body(world, nic), **taken,
        )
        vms.begin_restart(GROUP, "vm").result()
        refused(HttpResponseError, 400, "NicInUse", network.network_interfaces.begin_delete, GROUP, "nic")
        vms.begin_delete(GROUP, "vm").result()
        network.network_interfaces.begin_delete(GROUP, "nic").result()


def machine_body(world, nic):
    """A machine with a key and the NIC."""
    with open(world["ssh_public_key"], encoding="utf-8") as file:
        key = {"path": "/home/ubuntu/.ssh/authorized_keys", "key_data": file.read().strip()}
    image = {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts-gen2", "version": "latest"}
    return {
        "location": LOCATION,
        "hardware_profile": {"vm_size": "Standard_D2s_v5"},
        "storage_profile": {"image_reference": image, "os_disk": {"create_option": "FromImage", "delete_option": "Delete"}},
        "os_profile": {
            "computer_name": "vm",
            "admin_username": "ubuntu",
            "linux_configuration": {"disable_password_authentication": True, "ssh": {"public_keys": [key]}},
        },
        "network_profile": {"network_interfaces": [{"id": nic.id, "primary": True}]},
    }


def disks(report, compute):
    with report.check("SDK: a disk"):
        body = {"location": LOCATION, "creation_data": {"create_option": "Empty"}, "disk_size_gb": 4}
        made = compute.disks.begin_create_or_update(GROUP, "disk", body).result()
        same((made.provisioning_state, made.disk_size_gb), ("Succeeded", 4))
        compute.disks.begin_delete(GROUP, "disk").result()
        same([one.name for one in compute.disks.list_by_resource_group(GROUP) if one.name == "disk"], [], "disks")


def clusters(report, containers, compute):
    with report.check("SDK: clusters are listed page by page"):
        pool = {"name": "one", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System"}
        properties = {"dnsPrefix": "c", "agentPoolProfiles": [pool]}
        body = {"location": LOCATION, "identity": {"type": "SystemAssigned"}, "properties": properties}
        pollers = [containers.managed_clusters.begin_create_or_update(GROUP, name, body) for name in ("c1", "c2")]
        for poller in pollers:
            same(poller.result().provisioning_state, "Succeeded", "state")
        pages = [[one.name for one in page] for page in containers.managed_clusters.list().by_page()]
        same(sorted(sum(pages, [])), ["c1", "c2", CLUSTER], "clusters")
        same(len(pages), 2, "pages")
    with report.check("SDK: a cluster's credentials, pools, nodes"):
        given = containers.managed_clusters.list_cluster_user_credentials(CLUSTER, CLUSTER)
        assert b"clusters:" in given.kubeconfigs[0].value, "no kubeconfig"
        assert list(containers.agent_pools.list(CLUSTER, CLUSTER)), "no pool"
        sets = [one.name for one in compute.virtual_machine_scale_sets.list(NODE_GROUP)]
        assert list(compute.virtual_machine_scale_set_vms.list(NODE_GROUP, sets[0])), "no node"
        refused(ResourceNotFoundError, 404, "ResourceNotFound", containers.managed_clusters.get, CLUSTER, "none")
