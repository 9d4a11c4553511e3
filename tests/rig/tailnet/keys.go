package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"tailscale.com/tailcfg"
)

// defaultExpiry is what a key gets that is asked for without one: 90 days.
const defaultExpiry = 7776000

var (
	allowedDescription = regexp.MustCompile(`^[A-Za-z0-9 -]{0,50}$`)
	allowedTag         = regexp.MustCompile(`^tag:[A-Za-z][A-Za-z0-9-]*$`)
)

type create struct {
	Reusable      bool     `json:"reusable"`
	Ephemeral     bool     `json:"ephemeral"`
	Preauthorized bool     `json:"preauthorized"`
	Tags          []string `json:"tags,omitempty"`
}

type capabilities struct {
	Devices struct {
		Create create `json:"create"`
	} `json:"devices"`
}

// authKey is a key as the API shows it; its value is told once, in the answer to its creation.
type authKey struct {
	ID            string       `json:"id"`
	KeyType       string       `json:"keyType"`
	Key           string       `json:"key,omitempty"`
	Description   string       `json:"description,omitempty"`
	Created       time.Time    `json:"created"`
	Expires       time.Time    `json:"expires"`
	ExpirySeconds int64        `json:"expirySeconds"`
	Revoked       *time.Time   `json:"revoked,omitempty"`
	Invalid       bool         `json:"invalid,omitempty"`
	Capabilities  capabilities `json:"capabilities"`

	nodes []string // who registered with it
}

func (k *authKey) create() create { return k.Capabilities.Devices.Create }
func (k *authKey) tags() []string { return k.create().Tags }
func (k *authKey) usable() bool {
	return k.Revoked == nil && now().Before(k.Expires) && (k.create().Reusable || len(k.nodes) == 0)
}

// shown is the key as any later answer has it.
func (k *authKey) shown() authKey {
	shown := *k
	shown.Key, shown.Invalid = "", !k.usable()
	return shown
}

func random(n int) string {
	text := rand.Text()
	for len(text) < n {
		text += rand.Text()
	}
	return text[:n]
}

// spend finds the key that lets a node in. A key that is not reusable is good for one node.
func (t *tailnet) spend(value string, host *tailcfg.Hostinfo) (*authKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys {
		if k.Key != value {
			continue
		}
		if !k.usable() {
			return nil, fmt.Errorf("invalid key: API key %s not valid", k.ID)
		}
		for _, tag := range host.RequestTags {
			if !slices.Contains(k.tags(), tag) {
				return nil, fmt.Errorf("requested tags %v are invalid or not permitted", host.RequestTags)
			}
		}
		return k, nil
	}
	return nil, errors.New("invalid key: API key does not exist")
}

func (t *tailnet) serveKeys(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := []map[string]string{}
	for id, k := range t.keys {
		if k.usable() {
			ids = append(ids, map[string]string{"id": id})
		}
	}
	reply(w, http.StatusOK, map[string]any{"keys": ids})
}

func (t *tailnet) serveMintKey(w http.ResponseWriter, r *http.Request) {
	var minted authKey
	if err := json.NewDecoder(r.Body).Decode(&minted); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if !allowedDescription.MatchString(minted.Description) {
		refuse(w, http.StatusBadRequest, "description may have 50 letters, digits, hyphens and spaces")
		return
	}
	// A device that an OAuth client lets in belongs to nobody, so it must have a tag.
	tags := minted.tags()
	if byClient(r) && len(tags) == 0 || slices.ContainsFunc(tags, func(tag string) bool { return !allowedTag.MatchString(tag) }) {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("requested tags %v are invalid or not permitted", tags))
		return
	}
	if minted.ExpirySeconds == 0 {
		minted.ExpirySeconds = defaultExpiry
	}
	minted.ID, minted.KeyType, minted.Created = "k"+random(11)+"CNTRL", "auth", now()
	minted.Key = "tskey-auth-" + minted.ID + "-" + random(32)
	minted.Expires = minted.Created.Add(time.Duration(minted.ExpirySeconds) * time.Second)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys[minted.ID] = &minted
	reply(w, http.StatusOK, minted)
}

func (t *tailnet) serveKey(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.keys[r.PathValue("key")]
	if !ok {
		refuse(w, http.StatusNotFound, "not found")
		return
	}
	reply(w, http.StatusOK, k.shown())
}

func (t *tailnet) serveRevokeKey(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.keys[r.PathValue("key")]
	if !ok || k.Revoked != nil {
		refuse(w, http.StatusNotFound, "not found")
		return
	}
	revoked := now()
	k.Revoked = &revoked
	w.WriteHeader(http.StatusOK)
}

// serveMintedKeys is for assertions: every key ever minted, without its value, and who came in with it.
func (t *tailnet) serveMintedKeys(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []any{}
	for _, k := range t.keys {
		nodes := k.nodes
		if nodes == nil {
			nodes = []string{}
		}
		all = append(all, struct {
			authKey
			Nodes []string `json:"nodes"`
		}{k.shown(), nodes})
	}
	reply(w, http.StatusOK, map[string]any{"keys": all})
}
