package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"tailscale.com/tailcfg"
)

// access is the part of the policy that is in force: grants of prefixes and ports. testcontrol sends every device the package's filter
// that admits everything, so that is what a policy replaces.
type access struct {
	mu     sync.Mutex
	policy json.RawMessage
}

var everything = json.RawMessage(`{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}`)

type grants struct {
	Grants []struct {
		Src, Dst, IP []string
	} `json:"grants"`
}

func (t *tailnet) serveAccess(w http.ResponseWriter, _ *http.Request) {
	t.access.mu.Lock()
	defer t.access.mu.Unlock()
	reply(w, http.StatusOK, t.access.policy)
}

func (t *tailnet) serveSetAccess(w http.ResponseWriter, r *http.Request) {
	var policy json.RawMessage
	var parsed grants
	if err := json.NewDecoder(r.Body).Decode(&policy); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := json.Unmarshal(policy, &parsed); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	t.access.mu.Lock()
	defer t.access.mu.Unlock()
	t.access.policy = policy
	tailcfg.FilterAllowAll = parsed.filter()
	t.control.SetGlobalAppCaps(nil) // every device is told
	reply(w, http.StatusOK, policy)
}

// filter is what the grants admit. Names of anything but prefixes admit no pod, and are left out.
func (g *grants) filter() []tailcfg.FilterRule {
	rules := []tailcfg.FilterRule{}
	for _, grant := range g.Grants {
		for _, capability := range grant.IP {
			protocol, ports, found := strings.Cut(capability, ":")
			if !found {
				protocol, ports = "*", capability
			}
			rule := tailcfg.FilterRule{SrcIPs: grant.Src, IPProto: protocols[protocol]}
			for _, destination := range grant.Dst {
				rule.DstPorts = append(rule.DstPorts, tailcfg.NetPortRange{IP: destination, Ports: portRange(ports)})
			}
			rules = append(rules, rule)
		}
	}
	return rules
}

// protocols are those of IANA; none means TCP, UDP and ICMP.
var protocols = map[string][]int{"tcp": {6}, "udp": {17}}

func portRange(text string) tailcfg.PortRange {
	if text == "*" {
		return tailcfg.PortRangeAny
	}
	first, last, found := strings.Cut(text, "-")
	if !found {
		last = first
	}
	from, _ := strconv.ParseUint(first, 10, 16)
	to, _ := strconv.ParseUint(last, 10, 16)
	return tailcfg.PortRange{First: uint16(from), Last: uint16(to)}
}
