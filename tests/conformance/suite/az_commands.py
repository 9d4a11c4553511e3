"""What the commands of the log, and those around them, must answer."""

import concurrent.futures

from az import Az
from report import same
from world import CLUSTER, LOCATION, NODE_GROUP

GROUP = "conformance-az"
IN = f"-g {GROUP}"


def run(report, world, recorder):
    """Logs in, then does the commands of each area in turn."""
    az = Az(world, recorder)
    with report.check("az: cloud register and login as the instructions say"):
        az.follow_instructions()
        same(az("account show")["id"], world["subscription"], "subscription")
    groups(report, az)
    cluster(report, az, world)
    networks(report, az)
    routes(report, az)
    interfaces(report, az)
    machines(report, az, world)
    scale_sets(report, az)
    with report.check("az: group delete takes everything with it"):
        az(f"group delete -n {GROUP} --yes")
        same(az(f"group exists -n {GROUP}"), False, "exists")


def groups(report, az):
    with report.check("az: group create, show, exists, list"):
        same(az(f"group create -n {GROUP} -l {LOCATION} --tags a=b")["properties"]["provisioningState"], "Succeeded")
        same(az(f"group show -n {GROUP}")["tags"], {"a": "b"}, "tags")
        same(az(f"group exists -n {GROUP}"), True, "exists")
        names = {group["name"] for group in az("group list")}
        assert {GROUP, CLUSTER, NODE_GROUP} <= names, f"groups: {names}"
    with report.check("az: a group that is not there"):
        assert "ResourceGroupNotFound" in az.fails("group show -n nowhere")
        same(az("group exists -n nowhere"), False, "exists")


def cluster(report, az, world):
    of = f"-g {CLUSTER} -n {CLUSTER}"
    with report.check("az: aks show, list, nodepool list"):
        same(az(f"aks show {of}")["nodeResourceGroup"], NODE_GROUP, "node group")
        same([one["name"] for one in az("aks list")], [CLUSTER], "clusters")
        pools = az(f"aks nodepool list -g {CLUSTER} --cluster-name {CLUSTER}")
        assert pools and all(pool["provisioningState"] == "Succeeded" for pool in pools), pools
    with report.check("az: aks get-credentials writes a kubeconfig"):
        file = world.dir / "kubeconfig"
        az(f"aks get-credentials {of} -f {file}")
        assert "current-context: " in file.read_text(), file.read_text()


def networks(report, az):
    with report.check("az: network vnet create, list, show"):
        az(f"network vnet create {IN} -n net --address-prefixes 10.1.0.0/16 --subnet-name a --subnet-prefixes 10.1.0.0/24")
        same([net["name"] for net in az(f"network vnet list {IN}")], ["net"], "networks")
        shown = az(f"network vnet show -g {NODE_GROUP} -n aks-vnet-11486953")
        same(shown["addressSpace"]["addressPrefixes"], ["10.224.0.0/12"], "prefixes")
    with report.check("az: network vnet subnet create, show, list"):
        az(f"network vnet subnet create {IN} --vnet-name net -n b --address-prefixes 10.1.1.0/24")
        same(az(f"network vnet subnet show {IN} --vnet-name net -n b")["addressPrefix"], "10.1.1.0/24", "prefix")
        same([subnet["name"] for subnet in az(f"network vnet subnet list {IN} --vnet-name net")], ["a", "b"], "subnets")
    with report.check("az: a subnet that overlaps another is refused"):
        said = az.fails(f"network vnet subnet create {IN} --vnet-name net -n c --address-prefixes 10.1.1.128/25")
        assert "NetcfgSubnetRangesOverlap" in said, said


def routes(report, az):
    table = f"{IN} --route-table-name table"
    with report.check("az: network route-table create, show, list; route create, list"):
        az(f"network route-table create {IN} -n table")
        hop = "--next-hop-type VirtualAppliance --next-hop-ip-address 10.1.0.4"
        az(f"network route-table route create {table} -n r1 --address-prefix 10.50.0.0/16 {hop}")
        same(az(f"network route-table show {IN} -n table")["routes"][0]["nextHopIpAddress"], "10.1.0.4", "next hop")
        same([one["name"] for one in az(f"network route-table list {IN}")], ["table"], "tables")
        same([one["name"] for one in az(f"network route-table route list {table}")], ["r1"], "routes")
    with report.check("az: a second route for the same prefix is refused"):
        said = az.fails(f"network route-table route create {table} -n r2 --address-prefix 10.50.0.0/16 --next-hop-type None")
        assert "RouteConflict" in said, said
    with report.check("az: network vnet subnet update --route-table"):
        updated = az(f"network vnet subnet update {IN} --vnet-name net -n b --route-table table")
        assert updated["routeTable"]["id"].endswith("/table"), updated
        same(len(az(f"network route-table show {IN} -n table")["subnets"]), 1, "subnets of the table")
    with report.check("az: a table in use is not deleted, a route and an unused table are"):
        assert "InUseRouteTableCannotBeDeleted" in az.fails(f"network route-table delete {IN} -n table")
        az(f"network route-table route delete {table} -n r1")
        same(az(f"network route-table route list {table}"), [], "routes")
        az(f"network vnet subnet update {IN} --vnet-name net -n b --remove routeTable")
        az(f"network route-table delete {IN} -n table")
        assert "ResourceNotFound" in az.fails(f"network route-table show {IN} -n table")


def interfaces(report, az):
    with report.check("az: network public-ip create, show"):
        az(f"network public-ip create {IN} -n ip --sku Standard --allocation-method Static")
        assert az(f"network public-ip show {IN} -n ip")["ipAddress"].startswith("203.0.113."), "address"
    with report.check("az: network nsg create, rule create, show"):
        az(f"network nsg create {IN} -n nsg")
        rule = "--priority 100 --protocol Tcp --destination-port-ranges 22 --access Allow"
        az(f"network nsg rule create {IN} --nsg-name nsg -n ssh {rule}")
        shown = az(f"network nsg show {IN} -n nsg")
        same((len(shown["securityRules"]), len(shown["defaultSecurityRules"])), (1, 6), "rules")
    with report.check("az: network nic create, update --ip-forwarding, show"):
        az(f"network nic create {IN} -n nic --vnet-name net --subnet a --public-ip-address ip --network-security-group nsg")
        same(az(f"network nic show {IN} -n nic")["enableIPForwarding"], False, "forwarding")
        same(az(f"network nic update {IN} -n nic --ip-forwarding true")["enableIPForwarding"], True, "forwarding")
    with report.check("az: a subnet in use is not deleted, an unused one is"):
        assert "InUseSubnetCannotBeDeleted" in az.fails(f"network vnet subnet delete {IN} --vnet-name net -n a")
        az(f"network vnet subnet delete {IN} --vnet-name net -n b")


def machines(report, az, world):
    of = f"{IN} -n vm"
    data = world.dir / "user-data"
    data.write_text("#cloud-config\nruncmd:\n  - [sh, -c, 'echo done > /root/done']\n")
    with report.check("az: vm create with a key, custom data and a NIC"):
        image = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"
        what = f"--image {image} --size Standard_D2s_v5 --security-type Standard --admin-username ubuntu"
        made = az(f"vm create {of} {what} --nics nic --ssh-key-values {world['ssh_public_key']} --custom-data {data}")
        same(made["powerState"], "VM running", "power")
    reads = {
        "show -d": lambda: same(az(f"vm show -d {of}")["privateIps"], "10.1.0.4", "private address"),
        "list": lambda: same([one["name"] for one in az(f"vm list {IN}")], ["vm"], "machines"),
        "get-instance-view": lambda: same(power(az, of), "PowerState/running", "power"),
    }
    together(report, "az: vm", reads)
    with report.check("az: vm deallocate, start"):
        az(f"vm deallocate {of}")
        same(power(az, of), "PowerState/deallocated", "power")
        az(f"vm start {of}")
        same(power(az, of), "PowerState/running", "power")
    with report.check("az: vm delete"):
        az(f"vm delete {of} --yes")
        assert "ResourceNotFound" in az.fails(f"vm show {of}")


def power(az, of):
    """The code of the last status of a machine."""
    return az(f"vm get-instance-view {of}")["instanceView"]["statuses"][-1]["code"]


def scale_sets(report, az):
    found = []
    with report.check("az: vmss list"):
        found = [one["name"] for one in az(f"vmss list -g {NODE_GROUP}")]
        assert found, "no scale set"
    name = found[0] if found else "none"
    reads = {
        "list-instances": lambda: same(bool(az(f"vmss list-instances -g {NODE_GROUP} -n {name}")), True, "instances"),
        "nic list": lambda: same(bool(az(f"vmss nic list -g {NODE_GROUP} --vmss-name {name}")), True, "NICs"),
    }
    together(report, "az: vmss", reads)


def together(report, prefix, reads):
    """Checks that change nothing, at the same time."""

    def one(name):
        with report.check(f"{prefix} {name}"):
            reads[name]()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(one, reads))
