// A server and a client of psrpc for the tests, driven by JSON lines.
//
//	interop BUS_URL serve ID AFFINITY
//	interop BUS_URL client ID
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/livekit/psrpc"
	"github.com/livekit/psrpc/pkg/bus"
	"github.com/livekit/psrpc/pkg/bus/natsbus"
	"github.com/livekit/psrpc/pkg/bus/redisbus"
	"github.com/livekit/psrpc/pkg/client"
	"github.com/livekit/psrpc/pkg/info"
	"github.com/livekit/psrpc/pkg/metadata"
	"github.com/livekit/psrpc/pkg/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = *wrapperspb.StringValue

type command struct {
	Do    string   `json:"do"`
	Text  string   `json:"text"`
	Topic []string `json:"topic"`
	Lines []string `json:"lines"`
	Wait  int      `json:"wait"` // milliseconds
}

func say(line map[string]any) {
	data, _ := json.Marshal(line)
	fmt.Println(string(data))
}

func failed(err error) map[string]any {
	line := map[string]any{"error": err.Error()}
	var known psrpc.Error
	if errors.As(err, &known) {
		line["code"] = string(known.Code())
		details := []string{}
		for _, detail := range known.Details() {
			if value, ok := detail.(text); ok {
				details = append(details, value.Value)
			}
		}
		line["details"] = details
	}
	return line
}

func definition(id string) *info.ServiceDefinition {
	d := &info.ServiceDefinition{Name: "Interop", ID: id}
	// name, affinity, multi, claim, queue
	d.RegisterMethod("Echo", false, false, true, true)
	d.RegisterMethod("Pick", true, false, true, false)
	d.RegisterMethod("All", false, true, false, false)
	d.RegisterMethod("Regional", false, false, true, true)
	d.RegisterMethod("Owned", false, false, false, true)
	d.RegisterMethod("News", false, true, false, false)
	d.RegisterMethod("Jobs", false, false, false, true)
	d.RegisterMethod("Talk", false, false, true, true)
	d.RegisterMethod("TalkPick", true, false, true, false)
	return d
}

func connect(url string) bus.MessageBus {
	if strings.HasPrefix(url, "redis") {
		options, err := redis.ParseURL(url)
		check(err)
		return redisbus.New(redis.NewClient(options))
	}
	connection, err := nats.Connect(url)
	check(err)
	return natsbus.New(connection)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// subscribed waits until the broker has all subscriptions so far. A bus subscribes in the
// background and in order, so they are there when a later one is.
func subscribed(b bus.MessageBus) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	id := strconv.FormatInt(time.Now().UnixNano(), 36) + strconv.Itoa(os.Getpid())
	channel := bus.Channel{Legacy: "subscribed|" + id, Server: "subscribed." + id}
	later, err := bus.Subscribe[text](ctx, b, channel, 1)
	check(err)
	defer later.Close()
	for {
		check(b.Publish(ctx, channel, wrapperspb.String(id)))
		select {
		case <-later.Channel():
			check(ctx.Err()) // which closes it, too
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func serve(b bus.MessageBus, id string, affinity float32, lines <-chan command) {
	s := server.NewRPCServer(definition(id), b, psrpc.WithServerID(id))
	answer := func(ctx context.Context, request text) (text, error) {
		if reason, found := strings.CutPrefix(request.Value, "fail:"); found {
			return nil, psrpc.NewError(psrpc.NotFound, errors.New(reason), wrapperspb.String("a detail"))
		}
		from := ""
		if header := metadata.IncomingHeader(ctx); header != nil {
			from = header.Metadata["k"]
		}
		return wrapperspb.String(strings.ToUpper(request.Value) + "|" + id + "|" + from), nil
	}
	talk := func(stream psrpc.ServerStream[text, text]) error {
		for line := range stream.Channel() {
			if reason, found := strings.CutPrefix(line.Value, "fail:"); found {
				return psrpc.NewErrorf(psrpc.NotFound, "%s", reason)
			}
			if err := stream.Send(wrapperspb.String(strings.ToUpper(line.Value) + "|" + id)); err != nil {
				return err
			}
		}
		return nil
	}
	score := func(context.Context, text) float32 { return affinity }
	for _, method := range []string{"Echo", "All"} {
		check(server.RegisterHandler(s, method, nil, answer, nil))
	}
	check(server.RegisterHandler(s, "Pick", nil, answer, score))
	check(server.RegisterHandler(s, "Regional", []string{"eu/west 🚀", id}, answer, nil))
	check(server.RegisterHandler(s, "Owned", []string{id}, answer, nil))
	check(server.RegisterStreamHandler(s, "Talk", nil, talk, nil))
	check(server.RegisterStreamHandler(s, "TalkPick", nil, talk, func(context.Context) float32 { return affinity }))
	subscribed(b)
	say(map[string]any{"ready": id})
	for line := range lines {
		check(s.Publish(context.Background(), line.Do, line.Topic, wrapperspb.String(line.Text)))
		say(map[string]any{"published": line.Text})
	}
	s.Close(true)
}

func call(b bus.MessageBus, id string, lines <-chan command) {
	c, err := client.NewRPCClientWithStreams(definition(id), b, psrpc.WithClientID(id))
	check(err)
	subscribed(b)
	say(map[string]any{"ready": id})
	ctx := metadata.NewContextWithOutgoingMetadata(context.Background(), metadata.Metadata{"k": "v"})
	for line := range lines {
		switch line.Do {
		case "All":
			all(ctx, c, line)
		case "Talk", "TalkPick":
			talk(ctx, c, line)
		case "News", "Jobs":
			join := client.Join[text]
			if line.Do == "Jobs" {
				join = client.JoinQueue[text]
			}
			updates, err := join(ctx, c, line.Do, line.Topic)
			check(err)
			subscribed(b)
			go func() {
				for update := range updates.Channel() {
					say(map[string]any{"update": update.Value, "of": line.Do})
				}
			}()
			say(map[string]any{"joined": line.Do})
		default:
			got, err := client.RequestSingle[text](ctx, c, line.Do, line.Topic, wrapperspb.String(line.Text))
			if err != nil {
				say(failed(err))
			} else {
				say(map[string]any{"got": got.Value})
			}
		}
	}
	c.Close()
}

func all(ctx context.Context, c *client.RPCClient, line command) {
	wait := psrpc.WithRequestTimeout(time.Duration(line.Wait) * time.Millisecond)
	answers, err := client.RequestMulti[text](ctx, c, line.Do, line.Topic, wrapperspb.String(line.Text), wait)
	check(err)
	got := []string{}
	for answer := range answers {
		if answer.Err != nil {
			got = append(got, answer.Err.Error())
		} else {
			got = append(got, answer.Result.Value)
		}
	}
	say(map[string]any{"all": got})
}

func talk(ctx context.Context, c *client.RPCClient, line command) {
	stream, err := client.OpenStream[text, text](ctx, c, line.Do, line.Topic)
	if err != nil {
		say(failed(err))
		return
	}
	got := []string{}
	for _, one := range line.Lines {
		if err := stream.Send(wrapperspb.String(one)); err != nil {
			say(failed(err))
			return
		}
		if answer, open := <-stream.Channel(); open {
			got = append(got, answer.Value)
		} else {
			closed := failed(stream.Err())
			closed["talk"] = got
			say(closed)
			return
		}
	}
	check(stream.Close(nil))
	say(map[string]any{"talk": got})
}

func main() {
	b := connect(os.Args[1])
	lines := make(chan command)
	go func() {
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			var line command
			check(json.Unmarshal(scanner.Bytes(), &line))
			lines <- line
		}
		close(lines)
	}()
	if os.Args[2] == "serve" {
		affinity, err := strconv.ParseFloat(os.Args[4], 32)
		check(err)
		serve(b, os.Args[3], float32(affinity), lines)
	} else {
		call(b, os.Args[3], lines)
	}
}
