// Records what the Go implementation of asyncmachine does: one scenario per
// input line (JSON), one recording per output line. See README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	am "github.com/pancsta/asyncmachine-go/pkg/machine"
)

// behaviour is what one handler does besides being recorded.
type behaviour struct {
	Do   []string `json:"do"`   // mutations it issues in its At-th call
	No   int      `json:"no"`   // 1: refuses always, 2: in its At-th call only
	Boom bool     `json:"boom"` // raises in its At-th call
	At   int      `json:"at"`   // 1 when missing
}

type scenario struct {
	Schema   string               `json:"schema"` // A*! ?B,C +D -E >F; B
	Order    []string             `json:"order"`  // for VerifyStates
	Limit    uint16               `json:"limit"`
	Bind     string               `json:"bind"`   // "all", "none", or names
	Groups   int                  `json:"groups"` // 1 when missing
	Handlers map[string]behaviour `json:"handlers"`
	Steps    []string             `json:"steps"`
}

type step struct {
	Result string   `json:"r"`
	Active []string `json:"a"`
	Ticks  am.Time  `json:"t"`
	Calls  []string `json:"c"`
	Nested []string `json:"n"`
	Queue  uint64   `json:"q"`
	Err    string   `json:"e"`
	Txs    []string `json:"x"`
}

type recording struct {
	Names     []string `json:"names"`
	Steps     []step   `json:"steps"`
	Deviation int      `json:"deviation"`
	Failure   string   `json:"failure,omitempty"`
}

func parse(text string) am.Schema {
	schema := am.Schema{}
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(part)
		name := strings.TrimRight(words[0], "*!")
		state := am.State{
			Auto:  strings.Contains(words[0], "*"),
			Multi: strings.Contains(words[0], "!"),
		}
		for _, word := range words[1:] {
			list := strings.Split(word[1:], ",")
			switch word[0] {
			case '?':
				state.Require = list
			case '+':
				state.Add = list
			case '-':
				state.Remove = list
			case '>':
				state.After = list
			}
		}
		schema[name] = state
	}
	return schema
}

// handlers lists every handler name there can be: negotiation, then final.
func handlers(names []string) (negotiation, final []string) {
	negotiation = append(negotiation, "AnyEnter")
	final = append(final, "AnyState")
	for _, a := range names {
		negotiation = append(negotiation, a+"Enter", a+"Exit")
		final = append(final, a+"State", a+"End")
		for _, b := range names {
			negotiation = append(negotiation, a+b)
		}
	}
	return negotiation, final
}

func run(in scenario) (out recording, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := &recorder{
		TracerNoOp: &am.TracerNoOp{}, in: in, schema: parse(in.Schema),
		counts: map[string]int{},
	}
	r.mach = am.New(ctx, r.schema, &am.Opts{
		Id: "recorded", HandlerTimeout: time.Minute, QueueLimit: in.Limit,
		DontLogStackTrace: true,
	})
	if r.mach.IsErr() {
		return out, r.mach.Err()
	}
	if len(in.Order) > 0 {
		if err := r.mach.VerifyStates(in.Order); err != nil {
			return out, err
		}
	}
	if _, err := r.mach.TracerBind(r); err != nil {
		return out, err
	}
	if in.Bind != "none" {
		for group := 1; group <= max(in.Groups, 1); group++ {
			if err := r.bind(group); err != nil {
				return out, err
			}
		}
	}
	r.schema = r.mach.Schema()
	out.Names = r.mach.StateNames()
	for _, op := range in.Steps {
		r.calls, r.nested, r.txs = []string{}, []string{}, []string{}
		res := r.act(op)
		if r.touched > 0 {
			out.Deviation = r.touched
			break
		}
		s := step{
			Result: res, Active: append([]string{}, r.mach.ActiveStates(nil)...),
			Ticks: r.mach.Time(nil), Calls: r.calls, Nested: r.nested,
			Queue: r.mach.QueueTick(), Txs: r.txs,
		}
		if e := r.mach.Err(); e != nil {
			s.Err = e.Error()
		}
		out.Steps = append(out.Steps, s)
	}
	return out, nil
}

func guarded(line []byte) (out recording) {
	defer func() {
		if r := recover(); r != nil {
			out.Failure = fmt.Sprint(r)
		}
	}()
	var in scenario
	if err := json.Unmarshal(line, &in); err != nil {
		return recording{Failure: err.Error()}
	}
	done := make(chan recording, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- recording{Failure: fmt.Sprint(r)}
			}
		}()
		out, err := run(in)
		if err != nil {
			out.Failure = err.Error()
		}
		done <- out
	}()
	select {
	case out = <-done:
	case <-time.After(20 * time.Second):
		out.Failure = "hangs"
	}
	return out
}

func main() {
	workers := 2
	lines := make(chan struct {
		n    int
		text []byte
	})
	var mx sync.Mutex
	var wg sync.WaitGroup
	results := map[int][]byte{}
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for line := range lines {
				text, _ := json.Marshal(guarded(line.text))
				mx.Lock()
				results[line.n] = text
				mx.Unlock()
			}
		}()
	}
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(make([]byte, 1<<20), 1<<26)
	n := 0
	for ; scanner.Scan(); n++ {
		lines <- struct {
			n    int
			text []byte
		}{n, slices.Clone(scanner.Bytes())}
	}
	close(lines)
	wg.Wait()
	order := make([]int, 0, n)
	for i := range results {
		order = append(order, i)
	}
	sort.Ints(order)
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	for _, i := range order {
		fmt.Fprintf(w, "%s\n", results[i])
	}
}
