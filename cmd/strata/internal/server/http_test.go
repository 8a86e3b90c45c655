package server

import (
	"io"
	"net/http/httptest"
	"testing"
)

func TestReadyz(t *testing.T) {
	h := newHealth()
	for _, step := range []struct {
		set, reason string
		status      int
		body        string
	}{
		{partMeta, "", 503, `{
  "ready": false,
  "parts": [
    {
      "name": "meta",
      "ready": true,
      "required": true
    },
    {
      "name": "shard",
      "ready": false,
      "required": true,
      "reason": "starting"
    },
    {
      "name": "object-store",
      "ready": false,
      "required": false,
      "reason": "starting"
    },
    {
      "name": "proxy",
      "ready": false,
      "required": true,
      "reason": "starting"
    }
  ]
}
`},
		{partShard, "", 503, ""},
		{partProxy, "", 200, ""}, // without the object store sends go on
		{partObjectStore, "", 200, ""},
		{partShard, "the log is fenced", 503, ""},
	} {
		h.set(step.set, step.reason)
		w := httptest.NewRecorder()
		serveReady(w, h.Parts())
		body, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code != step.status || step.body != "" && string(body) != step.body {
			t.Errorf("after %s %q: %d %s", step.set, step.reason, w.Code, body)
		}
	}
}

func TestLocalHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8090": true, "127.0.0.1:8090": true, "[::1]:8090": true, "10.1.2.3": true,
		"": false, "evil.example.com": false, "localhost.evil.example.com:80": false, "127.0.0.1.example.com": false,
	} {
		if got := localHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
