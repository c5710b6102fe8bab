/* SPDX-License-Identifier: Apache-2.0 */
/**
 * control.h - speaking to a gateway that runs, over the control socket in its store.
 *
 * A request and its reply are one JSON object each:
 *
 *     {"command":"stats"}   ->  {"ok":true,"version":"0.1.0","pid":4711, ... ,"metrics":{...}}
 *     {"command":"logs"}    ->  {"ok":true,"logs":[{"name":"w0-block","segment":"x.pcapng","segment_bytes":4096,
 *                                "watermark_ns":1700000000000000000,"ring_bytes":2097152,"fill_bytes":0,
 *                                "pressure":"flowing"}, ...]}
 *     {"command":"metrics"} ->  {"ok":true,"content_type":"text/plain; version=0.0.4; charset=utf-8",
 *                                "text":"# HELP ..."}    Prometheus' text form, each listener's and upstream's counts
 *                                                        among it
 *     {"command":"reload"}  ->  {"ok":true,"changed":["sessions_max: 100000 -> 5"],
 *                                "restart":["workers: 2 -> 4 needs a restart"],"warnings":[]}
 *                           or  {"ok":false,"error":"f.yaml:3:5: ...","errors":["f.yaml:3:5: ...", ...]}: nothing has
 *                                changed
 *     {"command":"rotate"}  ->  {"ok":true,"rotated":false}    every segment is being ended; ask until it is true:
 *     {"command":"rotated"} ->  {"ok":true,"rotated":true}
 *     {"command":"upstreams"} -> {"ok":true,"upstreams":[{"listener":"web","name":"a","address":"10.0.0.1:80",
 *                                "state":"up","backup":false,"weight":3,"sessions":12,"failures":0}, ...]}
 *                                state: up, slow_start, drained, or out: then it has "back_in_ns" too
 *     {"command":"upstream-drain","upstream":"a","listener":"web","drained":true}
 *                           ->  {"ok":true,"upstreams":[{"listener":"web","name":"a", ... ,"state":"drained",
 *                                "sessions":3,"changed":true}],"no_upstream":["web"],"warnings":["listener web ..."]}
 *                                of all listeners, and true, if these are not given; false: resumed. Each upstream as
 *                                above, and whether it was otherwise before; no_upstream: of those listeners, the ones
 *                                that have none left for new clients
 *     {"command":"plugins"} ->  {"ok":true,"plugins":[{"name":"hello","version":"1.0","summary":"...","state":"loaded",
 *                                "path":"hello.so","state_dir":"rec/plugins/hello","listeners":["web"],"hooks":[
 *                                {"hook":"open","calls":2,"ns":800,"mean_ns":400,"slow_calls":0}, ...],"calls":...,
 *                                "commands":[{"verb":"show","words":null,"help":"..."}]}, ...]}
 *                                state: loaded, or leaving: only sessions that are open have it yet
 *     {"command":"plugin","plugin":"hello","verb":"show","words":["a"]}
 *                           ->  {"ok":true,"text":"...","cut":false}    a plug-in's own command; cut: there was more
 *                           or  {"ok":false,"error":"...","wrong":true,"commands":[...]}    wrong verb or words
 *                           or  {"ok":false,"error":"...","unknown":true,"plugins":["hello"]}    no such plug-in
 *                           or  {"ok":false,"error":"..."}    it could not be done
 *     {"command":"stop"}    ->  {"ok":true}    the gateway drains and ends, as by SIGTERM
 *     {"command":"help"}    ->  {"ok":true,"commands":[{"name":"stats","help":"..."}, ...]}
 *     anything else         ->  {"ok":false,"error":"unknown command \"x\""}
 *
 * Only the user that the gateway runs as, and root, are answered.
 */
#ifndef GOGETWAY_CONTROL_H
#define GOGETWAY_CONTROL_H

#include <gogetway/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sends one request to the gateway that records into the store `dir` and waits for its reply, five seconds at the
 * most. *reply_json is the reply without its newline, to be freed with free(3); it may be one that says "ok":false.
 * GG_ERR_NOT_FOUND: no gateway runs on this store, or `dir` is no directory; one that is no store is not told apart
 * from a store on which none runs. GG_ERR_DENIED, GG_ERR_TIMEOUT, GG_ERR_CLOSED (ended before it
 * answered), GG_ERR_RANGE (a request over 64 KiB, or one with a newline in it), GG_ERR_NOMEM, GG_ERR_IO.
 * Any thread; blocks. */
GG_API int gg_control_call(const char *dir, const char *request_json, char **reply_json, struct gg_failure *failure);

/* As gg_control_call, of the gateway whose process id is `pid`: one that drains since another took over from it, or the
 * one that serves. GG_ERR_NOT_FOUND: no such process is at work on the store. */
GG_API int gg_control_call_pid(const char *dir, long pid, const char *request_json, char **reply_json,
                               struct gg_failure *failure);

/* As gg_control_call, of every gateway that is at work on the store: the one that took over last, and those that drain
 * since. *replies: theirs, a line each, to be freed with free(3). One that ends before it answers is left out; if there
 * is no answer at all, GG_ERR_NOT_FOUND or GG_ERR_CLOSED. */
GG_API int gg_control_call_all(const char *dir, const char *request_json, char **replies, struct gg_failure *failure);

#ifdef __cplusplus
}
#endif
#endif
