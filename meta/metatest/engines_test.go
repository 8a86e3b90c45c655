package metatest_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/meta/metatest"
	"github.com/stratamq/stratamq/meta/nats"
)

// engines are the disks of every engine, by the folder of the engine and what it runs on.
var engines = map[string]func(t *testing.T) metatest.Disk{
	"memory":        func(*testing.T) metatest.Disk { return memoryDisk{memory.NewData()} },
	"nats embedded": func(t *testing.T) metatest.Disk { return embeddedDisk{t.TempDir()} },
	"nats remote":   func(t *testing.T) metatest.Disk { return remoteDisk{startServer(t)} },
}

func TestEngines(t *testing.T) {
	for name, disk := range engines {
		t.Run(name, func(t *testing.T) { metatest.Run(t, disk) })
	}
}

// TestEveryEngineIsTested finds the packages beside this one that claim to be a store.
func TestEveryEngineIsTested(t *testing.T) {
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), "var _ meta.Store = (*") {
			continue
		}
		found++
		folder, tested := filepath.Base(filepath.Dir(file)), false
		for name := range engines {
			tested = tested || strings.Fields(name)[0] == folder
		}
		if !tested {
			t.Errorf("engine %s is not in the table of this test", folder)
		}
	}
	if found < 2 {
		t.Errorf("found %d engines, memory and nats are missing", found)
	}
}

type memoryDisk struct{ data *memory.Data }

func (d memoryDisk) Open(*testing.T) meta.Store { return memory.Open(d.data) }

func (d memoryDisk) Damage(t *testing.T, _ meta.Store, bucket meta.Bucket, key string) {
	if err := d.data.Damage(bucket, key); err != nil {
		t.Fatal(err)
	}
}

type embeddedDisk struct{ dir string }

func (d embeddedDisk) Open(t *testing.T) meta.Store {
	c := nats.DefaultEmbeddedConfig()
	c.Dir = d.dir
	s, err := nats.OpenEmbedded(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d embeddedDisk) Damage(t *testing.T, s meta.Store, bucket meta.Bucket, key string) {
	damageNATS(t, s, bucket, key)
}

type remoteDisk struct{ url string }

func (d remoteDisk) Open(t *testing.T) meta.Store {
	c := nats.DefaultRemoteConfig()
	c.URLs, c.Replicas, c.User, c.Password = []string{d.url}, 1, "strata", "secret"
	s, err := nats.OpenRemote(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d remoteDisk) Damage(t *testing.T, s meta.Store, bucket meta.Bucket, key string) {
	damageNATS(t, s, bucket, key)
}

// startServer starts a server on a port of its own, which a store then reaches by network.
func startServer(t *testing.T) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "strata", Password: "secret",
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv.ClientURL()
}

// damageNATS writes bytes that are no envelope over the value, the way NATS's own tools would.
func damageNATS(t *testing.T, s meta.Store, bucket meta.Bucket, key string) {
	t.Helper()
	conn := s.(*nats.Store).Conn()
	subject := "$KV." + string(bucket) + "." + meta.EscapeKey(key)
	if _, err := conn.Request(subject, []byte("SRTM, but not really an envelope"), 5e9); err != nil {
		t.Fatal(err)
	}
}
