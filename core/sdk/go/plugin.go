// Package muster is the SDK for plugin authors in Go: one file, standard library only.
//
//	agent := muster.NewAgent("greeter", "1.0.0")
//	agent.Action("hello", muster.Typed(func(ctx context.Context, input Hello, request *muster.Request) (any, error) {
//		return map[string]string{"greeting": "Hello, " + input.Name}, nil
//	}))
//	agent.Run()
//
// Every call runs on a goroutine of its own and has a context that ends when the caller gives up or its time is over.
// What is printed with os.Stdout goes to the log. Bytes are []byte in structs, which encoding/json turns into base64 by
// itself. The protocol is in core/protocol/README.md.
package muster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	protocolVersion = 1
	maxLineBytes    = 4 * 1024 * 1024
	// Deliveries of one subscription that wait for their handler; the host keeps no more than this unanswered.
	window = 64
)

var errorNumbers = map[string]int{
	"PARSE": -32700, "INVALID": -32600, "UNKNOWN_METHOD": -32601, "INVALID_PARAMS": -32602, "INTERNAL": -32603,
	"BUSY": -32001, "DEADLINE": -32002, "NOT_GRANTED": -32003, "GONE": -32004, "DEPTH": -32005, "CONTRACT": -32006,
	"TOO_LARGE": -32007, "NOT_FOUND": -32008, "UNAVAILABLE": -32009, "CANCELLED": -32800,
}

// Error has a stable code. Return one to answer a call with it; Plugin.Call returns one when the host refuses.
type Error struct {
	Code    string
	Message string
	Data    map[string]any
}

func (e *Error) Error() string { return e.Message }

// Call is what a call knows about itself, beside its context.
type Call struct {
	// Trace id to pass on; empty if there is none.
	Trace string
	// Depth tells how deep this call is nested, from 0.
	Depth int
	// Plugin is the announced plugin that is meant, for a plugin that announced several.
	Plugin string

	plugin *Plugin
	id     json.RawMessage
}

// Progress sends a part of the answer, for methods that stream.
func (c *Call) Progress(value any) error {
	return c.plugin.send(map[string]any{"jsonrpc": "2.0", "method": "$/progress", "params": map[string]any{"id": c.id, "value": value}})
}

type callKey struct{}

// Handler answers one method of the plugin's kind. Its result is turned into JSON; nil means an empty object.
type Handler func(ctx context.Context, params json.RawMessage, call *Call) (any, error)

// Info is what the host said in `initialize`.
type Info struct {
	Bundle       string          `json:"bundle"`
	Plugin       string          `json:"plugin"`
	Kind         string          `json:"kind"`
	Config       map[string]any  `json:"config"`
	Capabilities json.RawMessage `json:"capabilities"`
	// StateFolder is durable; empty unless the manifest needs `state`.
	StateFolder string `json:"stateFolder"`
}

// Plugin is a plugin of any kind.
type Plugin struct {
	// Activate, if set, declares what outlives the process: subscriptions, timers, announced plugins.
	Activate func(ctx context.Context) error
	// Shutdown, if set, is the polite end.
	Shutdown func()

	version  string
	handlers map[string]Handler
	info     Info
	out      chan []byte
	written  chan struct{}
	hostMax  int
	logger   *slog.Logger

	mutex   sync.Mutex
	lastID  int
	waiting map[string]chan message
	running map[string]context.CancelFunc
	ordered map[string]chan func()
}

type message struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  *string         `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *errorBody      `json:"error,omitempty"`
	Meta    struct {
		DeadlineMs *int64 `json:"deadlineMs"`
		Trace      string `json:"trace"`
		Depth      int    `json:"depth"`
		Plugin     string `json:"plugin"`
	} `json:"_meta"`
}

type errorBody struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Data    map[string]any `json:"data,omitempty"`
}

// New makes a plugin; version is its own, for people.
func New(version string) *Plugin {
	return &Plugin{
		version: version, handlers: map[string]Handler{}, hostMax: maxLineBytes, logger: newLogger(),
		out: make(chan []byte, 256), written: make(chan struct{}),
		waiting: map[string]chan message{}, running: map[string]context.CancelFunc{}, ordered: map[string]chan func(){},
	}
}

// Handle registers the handler of a method, such as `auditor/record` or `bus/message`.
func (p *Plugin) Handle(method string, handler Handler) { p.handlers[method] = handler }

// Info tells what the host said in the handshake.
func (p *Plugin) Info() Info { return p.info }

// Config stores the configuration values that the manifest lists in a struct; fields are matched by their json tags:
//
//	var config struct {
//		Station string `json:"plugin.weather.station"`
//	}
func (p *Plugin) Config(into any) error {
	values, err := json.Marshal(p.info.Config)
	if err == nil {
		err = json.Unmarshal(values, into)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("the configuration key %s holds a %s, this plugin wants %s", wrong.Field, wrong.Value, wrong.Type)
	}
	return err
}

// Logger writes to the host's log with levels; what it is given beside the text arrives as fields.
func (p *Plugin) Logger() *slog.Logger { return p.logger }

func newLogger() *slog.Logger {
	lowerLevel := func(groups []string, attribute slog.Attr) slog.Attr {
		if len(groups) == 0 && attribute.Key == slog.LevelKey {
			return slog.String(slog.LevelKey, strings.ToLower(attribute.Value.String()))
		}
		if len(groups) == 0 && attribute.Key == slog.TimeKey {
			return slog.Attr{} // the host has its own clock
		}
		return attribute
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: lowerLevel}))
}

// Log writes to the host's log; level is debug, info, warn or error.
func (p *Plugin) Log(level, text string, fields map[string]any) {
	entry := map[string]any{}
	for key, value := range fields {
		entry[key] = value
	}
	entry["level"], entry["message"] = level, text
	line, _ := json.Marshal(entry)
	fmt.Fprintf(os.Stderr, "%s\n", line)
}

// Call asks the host for a capability, such as `bus/publish`, and stores its result unless that is nil. Trace, depth and
// deadline of the call that ctx belongs to are passed on.
func (p *Plugin) Call(ctx context.Context, method string, params, result any) error {
	meta := map[string]any{}
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		meta["depth"] = call.Depth + 1
		if call.Trace != "" {
			meta["trace"] = call.Trace
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		meta["deadlineMs"] = max(1, time.Until(deadline).Milliseconds())
	}
	answer := make(chan message, 1)
	p.mutex.Lock()
	p.lastID++
	id := fmt.Sprint(p.lastID)
	p.waiting[id] = answer
	p.mutex.Unlock()
	if err := p.send(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "method": method, "params": params, "_meta": meta}); err != nil {
		return err
	}
	select {
	case reply := <-answer:
		if reply.Error != nil {
			code, _ := reply.Error.Data["code"].(string)
			return &Error{Code: code, Message: reply.Error.Message, Data: reply.Error.Data}
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(reply.Result, result)
	case <-ctx.Done():
		p.mutex.Lock()
		delete(p.waiting, id)
		p.mutex.Unlock()
		_ = p.send(map[string]any{"jsonrpc": "2.0", "method": "$/cancel", "params": map[string]any{"id": json.RawMessage(id)}})
		return asError(ctx, ctx.Err())
	}
}

// Facts stores the fact of this machine at a gjson path, or all of them for "", as Plugin.Call stores a result; what is
// not there is null. The manifest needs `plugins: [facts]`.
func (p *Plugin) Facts(ctx context.Context, path string, value any) error {
	params := map[string]any{}
	if path != "" {
		params["path"] = path
	}
	var result struct{ Value json.RawMessage }
	call := map[string]any{"kind": "facts", "name": "node", "method": "facts/get", "params": params}
	if err := p.Call(ctx, "plugins/call", call, &result); err != nil {
		return err
	}
	return json.Unmarshal(result.Value, value)
}

// Run serves the host until it closes the pipe; it does not return.
func (p *Plugin) Run() {
	// Whatever prints goes to the log.
	toHost := os.Stdout
	os.Stdout = os.Stderr
	go p.write(toHost)
	p.read(os.Stdin)
	p.mutex.Lock()
	for _, cancel := range p.running {
		cancel()
	}
	p.mutex.Unlock()
	p.flush()
	os.Exit(0)
}

func (p *Plugin) read(input io.Reader) {
	reader := bufio.NewReaderSize(input, 64*1024)
	for {
		line, tooLong, err := readLine(reader)
		if tooLong {
			p.refuse("TOO_LARGE", "this line is longer than was agreed", line)
		} else if line = bytes.TrimSpace(line); len(line) > 0 {
			p.take(line)
		}
		if err != nil {
			return
		}
	}
}

// readLine reads to the next newline; of a line beyond the cap it keeps the start and skips the rest.
func readLine(reader *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if len(line) > maxLineBytes+1 {
			tooLong, line = true, line[:80]
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

func (p *Plugin) take(line []byte) {
	if !json.Valid(line) {
		p.refuse("PARSE", "this line is not JSON", line)
		return
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil || m.JSONRPC != "2.0" {
		p.refuse("INVALID", "this line is no request, response or notification", line)
		return
	}
	switch {
	case m.Method != nil && len(m.ID) > 0:
		p.serve(m)
	case m.Method != nil:
		p.notified(m)
	case len(m.ID) > 0 && (m.Result != nil || m.Error != nil):
		p.mutex.Lock()
		answer := p.waiting[string(m.ID)]
		delete(p.waiting, string(m.ID))
		p.mutex.Unlock()
		if answer != nil {
			answer <- m
		}
	default:
		p.refuse("INVALID", "this line is no request, response or notification", line)
	}
}

func (p *Plugin) notified(m message) {
	if *m.Method == "$/cancel" {
		var params struct{ ID json.RawMessage }
		_ = json.Unmarshal(m.Params, &params)
		p.mutex.Lock()
		cancel := p.running[string(params.ID)]
		p.mutex.Unlock()
		if cancel != nil {
			cancel()
		}
	} else if handler := p.handlers[*m.Method]; handler != nil {
		go func() { _, _ = handler(context.Background(), m.Params, &Call{plugin: p}) }()
	}
}

func (p *Plugin) serve(m message) {
	handler := p.handlers[*m.Method]
	if handler == nil {
		handler = p.lifecycle(*m.Method)
	}
	if handler == nil {
		p.answer(m.ID, nil, &Error{Code: "UNKNOWN_METHOD", Message: "unknown method " + *m.Method})
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	if m.Meta.DeadlineMs != nil {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(*m.Meta.DeadlineMs)*time.Millisecond)
	}
	p.mutex.Lock()
	p.running[string(m.ID)] = cancel
	p.mutex.Unlock()
	call := &Call{Trace: m.Meta.Trace, Depth: m.Meta.Depth, Plugin: m.Meta.Plugin, plugin: p, id: m.ID}
	run := func() {
		defer func() {
			p.mutex.Lock()
			delete(p.running, string(m.ID))
			p.mutex.Unlock()
			cancel()
		}()
		result, err := p.protected(context.WithValue(ctx, callKey{}, call), handler, m.Params, call)
		p.answer(m.ID, result, asError(ctx, err))
	}
	if key := deliveryKey(*m.Method, m.Params); key != "" {
		p.inOrder(key, run)
	} else {
		go run()
	}
}

// protected keeps a panic of one handler from ending the others.
func (p *Plugin) protected(ctx context.Context, handler Handler, params json.RawMessage, call *Call) (result any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			p.Log("error", fmt.Sprintf("a handler panicked: %v", reason), nil)
			err = fmt.Errorf("the handler failed: %v", reason)
		}
	}()
	if params == nil {
		params = json.RawMessage("{}")
	}
	return handler(ctx, params, call)
}

// deliveryKey names what has to keep its order; empty for ordinary calls.
func deliveryKey(method string, params json.RawMessage) string {
	switch method {
	case "bus/message", "events/event", "timers/fire", "process/output", "process/exit", "plugins/changed":
		var names struct{ Subscription, ID, Kind string }
		_ = json.Unmarshal(params, &names)
		return "of " + names.Subscription + names.ID + names.Kind
	}
	return ""
}

func (p *Plugin) inOrder(key string, run func()) {
	p.mutex.Lock()
	queue := p.ordered[key]
	if queue == nil {
		queue = make(chan func(), window)
		p.ordered[key] = queue
		go func() {
			for next := range queue {
				next()
			}
		}()
	}
	p.mutex.Unlock()
	queue <- run
}

func (p *Plugin) lifecycle(method string) Handler {
	switch method {
	case "initialize":
		return p.initialize
	case "ping":
		return func(context.Context, json.RawMessage, *Call) (any, error) { return nil, nil }
	case "activate":
		return func(ctx context.Context, _ json.RawMessage, _ *Call) (any, error) {
			if p.Activate == nil {
				return nil, nil
			}
			return nil, p.Activate(ctx)
		}
	case "shutdown":
		return func(context.Context, json.RawMessage, *Call) (any, error) {
			if p.Shutdown != nil {
				p.Shutdown()
			}
			return nil, nil
		}
	}
	return nil
}

func (p *Plugin) initialize(_ context.Context, raw json.RawMessage, _ *Call) (any, error) {
	var params struct {
		Info
		Protocol struct{ Min, Max int }
		Limits   struct{ MaxLineBytes int }
	}
	if err := json.Unmarshal(raw, &params); err != nil {
		return nil, &Error{Code: "INVALID_PARAMS", Message: err.Error()}
	}
	if params.Protocol.Min > protocolVersion || params.Protocol.Max < protocolVersion {
		return nil, &Error{Code: "INVALID_PARAMS", Message: fmt.Sprintf("the host speaks protocol %d to %d, this plugin %d to %d", params.Protocol.Min, params.Protocol.Max, protocolVersion, protocolVersion)}
	}
	p.info = params.Info
	if params.Limits.MaxLineBytes > 0 {
		p.hostMax = params.Limits.MaxLineBytes
	}
	return map[string]any{"protocol": protocolVersion, "version": p.version, "activates": p.Activate != nil}, nil
}

func (p *Plugin) answer(id json.RawMessage, result any, failure *Error) {
	if failure == nil {
		if result == nil {
			result = struct{}{}
		}
		err := p.send(map[string]any{"jsonrpc": "2.0", "id": id, "result": result})
		if err == nil {
			return
		}
		failure = asError(context.Background(), err)
	}
	number, known := errorNumbers[failure.Code]
	if !known {
		number = errorNumbers["INTERNAL"]
	}
	data := map[string]any{}
	for key, value := range failure.Data {
		data[key] = value
	}
	data["code"] = failure.Code
	_ = p.send(map[string]any{"jsonrpc": "2.0", "id": id, "error": errorBody{Code: number, Message: failure.Message, Data: data}})
}

// asError gives every failure a code; nil stays nil.
func asError(ctx context.Context, err error) *Error {
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return &Error{Code: "CANCELLED", Message: "cancelled"}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: "DEADLINE", Message: "the time for it is over"}
	}
	return &Error{Code: "INTERNAL", Message: err.Error()}
}

func (p *Plugin) refuse(code, reason string, line []byte) {
	p.answer(json.RawMessage("null"), nil, &Error{Code: code, Message: fmt.Sprintf("%s: %.80s", reason, line)})
}

func (p *Plugin) send(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return &Error{Code: "INTERNAL", Message: err.Error()}
	}
	if len(line) > p.hostMax {
		return &Error{Code: "TOO_LARGE", Message: fmt.Sprintf("the message has %d bytes, the other side accepts %d; hand it over in a file", len(line), p.hostMax)}
	}
	p.out <- append(line, '\n')
	return nil
}

// write puts lines on the pipe, as many as there are at a time.
func (p *Plugin) write(pipe io.Writer) {
	writer := bufio.NewWriterSize(pipe, 64*1024)
	for line := range p.out {
		_, err := writer.Write(line)
		if err == nil && (len(p.out) == 0 || line == nil) {
			err = writer.Flush()
		}
		if err != nil {
			os.Exit(0) // the host is gone
		}
		if line == nil {
			close(p.written)
			return
		}
	}
}

// flush waits until everything that was sent is on the pipe; nothing is written after it.
func (p *Plugin) flush() {
	p.out <- nil
	<-p.written
}

// ActionError ends an action with a status: 1 aborted, 3 missing data, 4 invalid data, 5 unknown error. What the action
// returns beside it is the data of the reply.
type ActionError struct {
	Status  int
	Message string
}

func (e *ActionError) Error() string { return e.Message }

// Request is one invocation of an action.
type Request struct {
	Agent   string          `json:"agent"`
	Action  string          `json:"action"`
	Data    json.RawMessage `json:"data"`
	Request struct {
		ID         string `json:"id"`
		Caller     string `json:"caller"`
		Sender     string `json:"sender"`
		Collective string `json:"collective"`
		Time       int64  `json:"time"`
		TTL        int64  `json:"ttl"`
	} `json:"request"`
	// Call has the trace, and sends progress.
	Call *Call `json:"-"`
}

// Bind stores the input in a struct; fields are matched by their json tags. Its error names the input that does not fit,
// and ends the action with status 4.
func (r *Request) Bind(input any) error {
	err := json.Unmarshal(r.Data, input)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return &ActionError{Status: 4, Message: fmt.Sprintf("input %s must be %s, not %s", wrong.Field, wrong.Type, wrong.Value)}
	}
	return &ActionError{Status: 4, Message: "the input does not fit: " + err.Error()}
}

// Typed makes an action of a function that takes its input as a struct.
func Typed[Input any](action func(ctx context.Context, input Input, request *Request) (any, error)) Action {
	return func(ctx context.Context, request *Request) (any, error) {
		var input Input
		if err := request.Bind(&input); err != nil {
			return nil, err
		}
		return action(ctx, input, request)
	}
}

// Action does one action; its result is the data of the reply.
type Action func(ctx context.Context, request *Request) (any, error)

// Agent is a plugin of kind `agent`.
type Agent struct {
	*Plugin
	name    string
	actions map[string]Action
}

// NewAgent makes an agent; its actions are named as in its DDL.
func NewAgent(name, version string) *Agent {
	agent := &Agent{Plugin: New(version), name: name, actions: map[string]Action{}}
	agent.Handle("agent/invoke", agent.invoke)
	return agent
}

// Action registers an action.
func (a *Agent) Action(name string, action Action) { a.actions[name] = action }

func (a *Agent) invoke(ctx context.Context, params json.RawMessage, call *Call) (any, error) {
	request := &Request{Call: call}
	if err := json.Unmarshal(params, request); err != nil {
		return nil, &Error{Code: "INVALID_PARAMS", Message: err.Error()}
	}
	action := a.actions[request.Action]
	if action == nil {
		return reply(2, fmt.Sprintf("Unknown action %s for agent %s", request.Action, a.name), nil), nil
	}
	data, err := action(ctx, request)
	var failed *ActionError
	if errors.As(err, &failed) {
		return reply(failed.Status, failed.Message, data), nil
	}
	if err != nil {
		return nil, err
	}
	return reply(0, "OK", data), nil
}

func reply(status int, text string, data any) map[string]any {
	if data == nil {
		data = struct{}{}
	}
	return map[string]any{"statuscode": status, "statusmsg": text, "data": data}
}
