package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// The environment variables that arm and count points.
const (
	EnvPoints = "STRATA_FAILPOINTS"
	EnvHits   = "STRATA_FAILPOINT_HITS"
)

// Point is one named moment.
type Point struct {
	name  string
	armed atomic.Bool // whether Hit has anything to do
	hits  atomic.Int64

	action action // set before armed, by Register
	at     int64  // the hit at which action happens

	hook atomic.Pointer[func()]
}

type action uint8

const (
	actionNone action = iota
	actionKill
	actionPause
	actionHang
)

var registry struct {
	sync.Mutex
	once   sync.Once
	points map[string]*Point
	orders map[string]order
	err    error // what was wrong with the environment
	hits   *os.File
}

type order struct {
	action action
	at     int64
}

// Register makes the point of that name; it panics if there is one already. For package-level variables.
func Register(name string) *Point {
	registry.once.Do(readEnvironment)
	registry.Lock()
	defer registry.Unlock()
	if registry.points == nil {
		registry.points = make(map[string]*Point)
	}
	if _, taken := registry.points[name]; taken {
		panic("failpoint: registered twice: " + name)
	}
	p := &Point{name: name}
	if o, ok := registry.orders[name]; ok {
		p.action, p.at = o.action, o.at
	}
	p.armed.Store(p.action != actionNone || registry.hits != nil)
	registry.points[name] = p
	if registry.hits != nil {
		p.count(0)
	}
	return p
}

// Names returns the names of all points that the program has, sorted.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	names := make([]string, 0, len(registry.points))
	for name := range registry.points {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Check reports what is wrong with the environment: an order that does not parse, a name that no
// point has, a file that cannot be opened. A program that may be given orders calls it when it
// starts, so that a misspelt point never passes for one that held.
func Check() error {
	registry.once.Do(readEnvironment)
	registry.Lock()
	defer registry.Unlock()
	if registry.err != nil {
		return registry.err
	}
	for name := range registry.orders {
		if registry.points[name] == nil {
			return fmt.Errorf("%s: no failpoint is named %q", EnvPoints, name)
		}
	}
	return nil
}

// Hook makes fn run at every hit of the named point, for tests within the process, and returns
// what takes it away again. It panics if there is no such point.
func Hook(name string, fn func()) (remove func()) {
	registry.Lock()
	defer registry.Unlock()
	p := registry.points[name]
	if p == nil {
		panic("failpoint: no point is named " + name)
	}
	p.hook.Store(&fn)
	p.armed.Store(true)
	return func() {
		p.hook.Store(nil)
		p.armed.Store(p.action != actionNone || registry.hits != nil)
	}
}

// Hit says that the program is at this point.
func (p *Point) Hit() {
	if !p.armed.Load() {
		return
	}
	p.hit()
}

func (p *Point) hit() {
	n := p.hits.Add(1)
	if fn := p.hook.Load(); fn != nil {
		(*fn)()
	}
	due := p.action != actionNone && n == p.at
	if registry.hits != nil && (n&(n-1) == 0 || due) {
		p.count(n)
	}
	if !due {
		return
	}
	if p.action == actionHang {
		select {}
	}
	signal := syscall.SIGKILL
	if p.action == actionPause {
		signal = syscall.SIGSTOP
	}
	if err := syscall.Kill(os.Getpid(), signal); err != nil {
		panic(fmt.Sprintf("failpoint %s: %v", p.name, err))
	}
	if p.action == actionKill {
		select {} // the signal is on its way: nothing may happen behind this point
	}
}

// count appends one line in one write, which O_APPEND keeps whole among several processes.
func (p *Point) count(n int64) {
	line := fmt.Appendf(nil, "%d %s %d\n", os.Getpid(), p.name, n)
	if _, err := registry.hits.Write(line); err != nil {
		panic(fmt.Sprintf("failpoint %s: %v", p.name, err)) // a count that lies would prove what did not happen
	}
}

func readEnvironment() {
	registry.Lock()
	defer registry.Unlock()
	registry.orders, registry.err = parse(os.Getenv(EnvPoints))
	path := os.Getenv(EnvHits)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		registry.err = err
		return
	}
	registry.hits = f
}

// parse reads "name=action[@n]" orders, separated by semicolons.
func parse(text string) (map[string]order, error) {
	orders := make(map[string]order)
	for item := range strings.SplitSeq(text, ";") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, what, found := strings.Cut(item, "=")
		what, count, counted := strings.Cut(what, "@")
		o := order{at: 1}
		if counted {
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%s: %q: a count is a number from 1 on", EnvPoints, item)
			}
			o.at = n
		}
		switch what {
		case "kill":
			o.action = actionKill
		case "pause":
			o.action = actionPause
		case "hang":
			o.action = actionHang
		default:
			found = false
		}
		if !found || name == "" {
			return nil, fmt.Errorf("%s: %q is not name=kill[@n], name=pause[@n] or name=hang[@n]", EnvPoints, item)
		}
		orders[name] = o
	}
	return orders, nil
}
