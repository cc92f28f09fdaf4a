package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	am "github.com/pancsta/asyncmachine-go/pkg/machine"
)

// recorder is bound to every handler name and is the only tracer.
type recorder struct {
	*am.TracerNoOp
	mach    *am.Machine
	schema  am.Schema
	in      scenario
	counts  map[string]int
	calls   []string
	nested  []string
	txs     []string
	touched int
}

func (r *recorder) TracerId() string { return "recorder" }

func (r *recorder) TransitionEnd(tx *am.Transition) {
	mark := map[am.MutationType]string{
		am.MutationAdd: "+", am.MutationRemove: "-", am.MutationSet: "=",
	}[tx.Mutation.Type]
	if tx.Mutation.IsAuto {
		mark = "*" + mark
	}
	if tx.Mutation.IsCheck {
		mark = "?" + mark
	}
	ok := "C"
	if tx.IsAccepted.Load() {
		ok = "E"
	}
	r.txs = append(r.txs, mark+strings.Join(tx.CalledStates(), ",")+" "+ok)
}

// touch notes the first of our deviations that a step runs into.
func (r *recorder) touch(deviation int) {
	if r.touched == 0 {
		r.touched = deviation
	}
}

// call is the body of every handler.
func (r *recorder) call(e *am.Event, group int) bool {
	name := e.Name
	if group > 1 {
		name = fmt.Sprintf("%s.%d", name, group)
	}
	r.calls = append(r.calls, name)
	r.counts[name]++
	b := r.in.Handlers[name]
	now := r.counts[name] == max(b.At, 1)
	if now {
		for _, op := range b.Do {
			r.nested = append(r.nested, name+":"+op+":"+r.act(op))
		}
	}
	tx := e.Transition()
	if b.Boom && now {
		if n := r.raiseTouches(e.Name, tx); n > 0 {
			r.touch(n)
			return true
		}
		panic("boom " + name)
	}
	if b.No == 1 || b.No == 2 && now {
		if n := r.refusalTouches(e.Name, tx); n > 0 {
			r.touch(n)
			return true
		}
		return false
	}
	return true
}

// parts finds which states a handler's name stands for.
func (r *recorder) parts(name string) (kind, state string) {
	if name == "AnyEnter" || name == "AnyState" {
		return name, ""
	}
	for s := range r.schema {
		for _, k := range []string{"Enter", "Exit", "State", "End"} {
			if name == s+k {
				return k, s
			}
		}
		if name == s+s {
			return "self", s
		}
	}
	return "pair", ""
}

// raiseTouches tells the deviation that a raise in this handler runs into.
func (r *recorder) raiseTouches(name string, tx *am.Transition) int {
	kind, state := r.parts(name)
	called := tx.CalledStates()
	before := tx.StatesBefore()
	reentered := func(s string) bool {
		return r.schema[s].Multi && slices.Contains(called, s)
	}
	switch {
	case slices.Contains(called, am.StateException):
		return 1
	case kind == "End":
		return 7
	case kind == "State":
		idx := slices.Index(tx.Enters, state)
		for i, s := range tx.Enters {
			if reentered(s) && (i < idx || slices.Contains(before, s)) {
				return 7
			}
		}
	case kind == "AnyState":
		if slices.ContainsFunc(tx.TargetStates(), reentered) {
			return 7
		}
	case kind == "Exit" && tx.IsAuto() && r.schema[state].Auto:
		return 5
	case tx.IsAuto() && r.in.Bind != "all":
		return 90
	}
	return 0
}

// refusalTouches does the same for a handler that returns false.
func (r *recorder) refusalTouches(name string, tx *am.Transition) int {
	kind, state := r.parts(name)
	if tx.IsAuto() && r.schema[state].Auto {
		switch kind {
		case "Exit":
			return 5
		case "self":
			return 6
		}
	}
	return 0
}

// act performs one operation and tells its result.
func (r *recorder) act(op string) string {
	m := r.mach
	queue := m.Queue()
	nested := m.Transition() != nil
	full := len(queue) >= int(m.QueueLimit)

	if rest, ok := strings.CutPrefix(op, "err"); ok {
		if full {
			r.touch(16)
		}
		if state, ok := strings.CutPrefix(rest, "!"); ok {
			return result(m.AddErrState(state, errors.New(op), nil), true)
		}
		return result(m.AddErr(errors.New(op), nil), true)
	}

	mark := strings.TrimRight(op[:min(len(op), 3)], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz,")
	states := am.S{}
	if rest := op[len(mark):]; rest != "" {
		states = strings.Split(rest, ",")
	}
	if mark == "~" {
		mark = "+"
		if m.Is(states) {
			mark = "-"
		}
	}
	var args am.A
	if strings.HasSuffix(mark, "#") {
		args = am.A{"x": 1}
		mark = mark[:len(mark)-1]
	}

	var res am.Result
	var kind am.MutationType
	switch mark {
	case "?+":
		return result(m.CanAdd(states, nil), false)
	case "?-":
		return result(m.CanRemove(states, nil), false)
	case "^+", "^-", "^=":
		mut := &am.Mutation{Type: kinds[mark[1:]], Called: m.Index(states), Args: args}
		return result(m.PrependMut(mut), false)
	case "+":
		kind, res = am.MutationAdd, m.Add(states, args)
	case "-":
		kind, res = am.MutationRemove, m.Remove(states, args)
	case "=":
		kind, res = am.MutationSet, m.Set(states, args)
	default:
		panic("unknown operation " + op)
	}
	// Executed while a queue stands behind the handler: a dropped duplicate.
	if nested && res == am.Executed && len(queue) > 0 {
		last := queue[len(queue)-1]
		if last.Type != kind || last.IsCheck || len(last.Args) > 0 ||
			last.QueueTick == 0 || !sameSet(last.Called, m.Index(states)) {
			r.touch(17)
		}
		return fmt.Sprintf("D%d", last.QueueTick)
	}
	return result(res, true)
}

var kinds = map[string]am.MutationType{
	"+": am.MutationAdd, "-": am.MutationRemove, "=": am.MutationSet,
}

func sameSet(a, b []int) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			return false
		}
	}
	return true
}

func result(res am.Result, ticks bool) string {
	switch {
	case res == am.Executed:
		return "E"
	case res == am.Canceled:
		return "C"
	case !ticks:
		return "Q"
	}
	return fmt.Sprintf("Q%d", uint64(res))
}

func (r *recorder) bind(group int) error {
	chosen := strings.Fields(r.in.Bind)
	wanted := func(name string) bool {
		return r.in.Bind == "all" || slices.Contains(chosen, name)
	}
	negotiation, final := handlers(r.mach.StateNames())
	neg := map[string]am.HandlerNegotiation{}
	fin := map[string]am.HandlerFinal{}
	for _, name := range negotiation {
		if wanted(name) {
			neg[name] = func(e *am.Event) bool { return r.call(e, group) }
		}
	}
	for _, name := range final {
		if wanted(name) {
			fin[name] = func(e *am.Event) { r.call(e, group) }
		}
	}
	_, err := r.mach.HandlersBindMaps(neg, fin)
	return err
}
