// A peer and a client of the Go grid library, driven by JSON lines.
//
// The library is used as anybody would use it: an unmodified module, its public
// API only. Commands come on stdin, one JSON object a line; answers (with the
// command's id) and events (with "event") go to stdout the same way. The
// program ends when stdin does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	grid "github.com/lytics/grid/v3"
	etcdv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type object = map[string]interface{}

var out sync.Mutex

// emit writes one line to stdout.
func emit(line object) {
	line["at"] = float64(time.Now().UnixNano()) / 1e9
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func check(err error) {
	if err != nil {
		emit(object{"event": "failed", "error": err.Error()})
		os.Exit(1)
	}
}

// command is one line of stdin; which fields count depends on Op.
type command struct {
	ID      int      `json:"id"`
	Op      string   `json:"op"`
	To      string   `json:"to"`
	As      string   `json:"as"`   // what to send: echo, string, unknown, start
	Text    string   `json:"text"` // of an echo or a string
	Size    int      `json:"size"` // bytes of text, instead of Text
	Type    string   `json:"type"` // of a start
	Name    string   `json:"name"`
	Data    []byte   `json:"data"`
	Kind    string   `json:"kind"` // of a query
	Members []string `json:"members"`
	Fastest bool     `json:"fastest"`
	Timeout float64  `json:"timeout"`
}

func (c command) message() interface{} {
	text := c.Text
	if c.Size > 0 {
		text = strings.Repeat("x", c.Size)
	}
	switch c.As {
	case "start":
		start := grid.NewActorStart("%s", c.Name)
		start.Type, start.Data = c.Type, c.Data
		return start
	case "string":
		return wrapperspb.String(text)
	case "unknown": // registered here, under a name that no other peer has
		return &grid.Delivery{TypeName: "x"}
	default:
		return &grid.EchoMsg{Msg: text}
	}
}

// described is a message as JSON can say it.
func described(message interface{}) object {
	switch m := message.(type) {
	case *grid.EchoMsg:
		return object{"type": "EchoMsg", "text": m.Msg}
	case *wrapperspb.StringValue:
		return object{"type": "StringValue", "text": m.Value}
	case *grid.Ack:
		return object{"type": "Ack"}
	default:
		return object{"type": fmt.Sprintf("%T", message)}
	}
}

func outcome(message interface{}, err error) object {
	if err != nil {
		return object{"error": err.Error()}
	}
	return object{"reply": described(message)}
}

func entity(event *grid.QueryEvent) object {
	line := object{
		"name":        event.Name(),
		"peer":        event.Peer(),
		"annotations": event.Annotations(),
	}
	if event.Err() != nil {
		line["error"] = event.Err().Error()
	}
	return line
}

func entities(events []*grid.QueryEvent) []object {
	all := make([]object, 0, len(events))
	for _, event := range events {
		all = append(all, entity(event))
	}
	return all
}

var running sync.WaitGroup // commands that have no answer yet

// serve runs the commands, each on its own, until stdin ends.
func serve(run func(context.Context, command) object) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var c command
		check(json.Unmarshal(lines.Bytes(), &c))
		running.Add(1)
		go func() {
			defer running.Done()
			seconds := c.Timeout
			if seconds == 0 {
				seconds = 10
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds*1e9))
			defer cancel()
			answer := run(ctx, c)
			answer["id"] = c.ID
			emit(answer)
		}()
	}
}

// -- the client ------------------------------------------------------------------

func runClient(etcd *etcdv3.Client, namespace string) {
	client, err := grid.NewClient(etcd, grid.ClientCfg{Namespace: namespace})
	check(err)
	emit(object{"event": "ready"})
	serve(func(ctx context.Context, c command) object {
		switch c.Op {
		case "request":
			return outcome(client.RequestC(ctx, c.To, c.message()))
		case "broadcast":
			group := grid.NewListGroup(c.Members...)
			if c.Fastest {
				group = group.Fastest()
			}
			results, err := client.BroadcastC(ctx, group, c.message())
			each := object{}
			for name, result := range results {
				each[name] = outcome(result.Val, result.Err)
			}
			if err != nil {
				return object{"error": err.Error(), "each": each}
			}
			return object{"each": each}
		case "check":
			answer, err := client.Check(ctx, c.To)
			if err != nil {
				return object{"error": err.Error()}
			}
			return object{"status": answer.Status.String()}
		case "wait":
			if err := client.WaitUntilServing(ctx, c.To); err != nil {
				return object{"error": err.Error()}
			}
			return object{}
		case "query":
			found, err := client.QueryC(ctx, grid.EntityType(c.Kind))
			if err != nil {
				return object{"error": err.Error()}
			}
			return object{"entities": entities(found)}
		case "watch":
			found, events, err := client.QueryWatch(context.Background(), grid.EntityType(c.Kind))
			if err != nil {
				return object{"error": err.Error()}
			}
			go follow(c.Kind, events)
			return object{"entities": entities(found)}
		default:
			return object{"error": "no such command: " + c.Op}
		}
	})
}

func follow(kind string, events <-chan *grid.QueryEvent) {
	for event := range events {
		line := entity(event)
		line["kind"] = kind
		switch event.Type() {
		case grid.EntityFound:
			line["event"] = "found"
		case grid.EntityLost:
			line["event"] = "lost"
		default:
			line["event"] = "watch error"
		}
		emit(line)
	}
}

// -- the peer --------------------------------------------------------------------

type actor func(context.Context)

func (act actor) Act(ctx context.Context) { act(ctx) }

func runPeer(etcd *etcdv3.Client, cfg grid.ServerCfg, listen string, withLeader bool) {
	listener, err := net.Listen("tcp", listen)
	check(err)
	server, err := grid.NewServer(etcd, cfg)
	check(err)
	server.RegisterDef("echo", func([]byte) (grid.Actor, error) {
		return actor(func(ctx context.Context) { echo(ctx, server) }), nil
	})
	// deaf opens a mailbox that is busy at once: it holds nothing, and nobody reads.
	server.RegisterDef("deaf", func([]byte) (grid.Actor, error) {
		return actor(func(ctx context.Context) { deaf(ctx, server) }), nil
	})
	server.RegisterDef("failing", func([]byte) (grid.Actor, error) {
		return nil, errors.New("no luck today")
	})
	server.RegisterDef("nothing", func([]byte) (grid.Actor, error) { return nil, nil })
	if withLeader {
		server.RegisterDef("leader", func([]byte) (grid.Actor, error) {
			return actor(func(ctx context.Context) {
				emit(object{"event": "leader up"})
				defer emit(object{"event": "leader down"})
				echo(ctx, server)
			}), nil
		})
	}
	emit(object{"event": "listening"})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	go func() {
		if waitUntilServing(etcd, cfg.Namespace, server) == nil {
			emit(object{"event": "started", "name": server.Name(), "address": listener.Addr().String()})
		}
	}()
	var stopping atomic.Bool
	go serve(func(_ context.Context, c command) object {
		if c.Op != "stop" {
			return object{"error": "no such command: " + c.Op}
		}
		stopping.Store(true)
		server.Stop()
		return object{}
	})
	err = <-served
	if !stopping.Load() { // the library may call its own stop an error
		check(err)
	}
	emit(object{"event": "served"})
	running.Wait() // the answer to "stop" is perhaps still to be written
}

// waitUntilServing waits until others find the peer. WaitUntilStarted alone waits for its
// name, which it has before it registers.
func waitUntilServing(etcd *etcdv3.Client, namespace string, server *grid.Server) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := server.WaitUntilStarted(ctx); err != nil {
		return err
	}
	client, err := grid.NewClient(etcd, grid.ClientCfg{Namespace: namespace})
	if err != nil {
		return err
	}
	defer client.Close()
	return client.WaitUntilServing(ctx, server.Name())
}

// echo serves a mailbox of the actor's name: it answers what it is sent, or as told.
func echo(ctx context.Context, server *grid.Server) {
	name, err := grid.ContextActorName(ctx)
	check(err)
	mailbox, err := server.NewMailbox(name, 16)
	check(err)
	defer mailbox.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case request := <-mailbox.C():
			if told(request, server.Name()) {
				return
			}
		}
	}
}

// told answers one request; true if it tells the actor to end.
func told(request grid.Request, peer string) bool {
	message, ok := request.Msg().(*grid.EchoMsg)
	if !ok {
		check(request.Respond(request.Msg()))
		return false
	}
	what, text, _ := strings.Cut(message.Msg, ": ")
	switch what {
	case "fail":
		check(request.Respond(errors.New(text)))
	case "status":
		check(request.Respond(status.Error(codes.FailedPrecondition, text)))
	case "who":
		check(request.Respond(&grid.EchoMsg{Msg: peer}))
	case "big": // over everybody's limit
		check(request.Respond(&grid.EchoMsg{Msg: strings.Repeat("x", 5<<20)}))
	case "hang":
	case "ack":
		check(request.Ack())
	case "end":
		check(request.Ack())
		return true
	default:
		check(request.Respond(message))
	}
	return false
}

func deaf(ctx context.Context, server *grid.Server) {
	name, err := grid.ContextActorName(ctx)
	check(err)
	mailbox, err := server.NewMailbox(name, 0)
	check(err)
	defer mailbox.Close()
	<-ctx.Done()
}

func main() {
	flags := flag.NewFlagSet("interop", flag.ExitOnError)
	endpoint := flags.String("etcd", "127.0.0.1:2379", "etcd endpoint")
	namespace := flags.String("namespace", "", "namespace of the grid")
	listen := flags.String("listen", "127.0.0.1:0", "peer: where to listen")
	lease := flags.Duration("lease", 10*time.Second, "peer: lease")
	annotations := flags.String("annotations", "", "peer: annotations, with commas between")
	leader := flags.Bool("leader", false, "peer: define a leader")
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: interop peer|client [flags]")
		os.Exit(2)
	}
	check(flags.Parse(os.Args[2:]))

	check(grid.Register(grid.EchoMsg{}))
	check(grid.Register(wrapperspb.StringValue{}))
	etcd, err := etcdv3.New(etcdv3.Config{
		Endpoints:   []string{*endpoint},
		DialTimeout: 5 * time.Second,
		Logger:      zap.NewNop(),
	})
	check(err)
	switch os.Args[1] {
	case "peer":
		cfg := grid.ServerCfg{
			Namespace:          *namespace,
			LeaseDuration:      *lease,
			DisallowLeadership: !*leader,
		}
		if *annotations != "" {
			cfg.Annotations = strings.Split(*annotations, ",")
		}
		runPeer(etcd, cfg, *listen, *leader)
	case "client":
		check(grid.Register(grid.Delivery{}))
		runClient(etcd, *namespace)
	}
}
