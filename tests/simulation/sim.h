/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sim.h - a world in which one worker of the gateway is tried: everything that it would ask of the kernel, of the
 * clock, of the log and of its peers is simulated, and everything follows from one seed.
 *
 *   world.c      random numbers, virtual clock, what will happen and when, descriptors, epoll as Linux has it
 *   sockets.c    the socket calls: connections between the gateway and its peers, listeners
 *   pipes.c      pipe2, splice, tee, readv of a pipe
 *   recording.c  the log (stalls, full disks, late wakes), and the check of every packet that is committed to it
 *   peers.c      clients and servers: they write, read, pause, half-close and reset as they like
 *   gates.c      plug-ins that hold, keep back, throttle and end what passes
 *   rewrites.c   ... and send something else instead
 *   reloads.c    the gateway is given other options now and then
 *   checks.c     what must hold when the worker goes to sleep, and when a connection or the world has ended
 *   main.c       a seed's configuration, the drive, the command line
 *
 * The calls are replaced by the linker (--wrap); gg_log_* by recording.c, which the linker takes before the library's.
 *
 * No byte is kept: the byte at an offset of a stream is a function of the stream and the offset, so every place where
 * bytes pass (send, splice, the recording) can be checked against it at once.
 */
#ifndef SIM_H
#define SIM_H

#include "gateway/worker.h"
#include <gogetway/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SIM_FD_BASE = 1000,
  SIM_FDS = 2048,
  SIM_SETS = 16,
  SIM_LISTENERS = 3,
  SIM_UPSTREAMS = 4,
  SIM_LOGS = 9,
  SIM_HEADER_MAX = 128,
  SIM_REWRITERS = 2,
};

/* ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sim_conn;

/* The gateway's socket towards one of the two peers. */
struct sim_socket {
  struct sim_conn *conn; /* NULL: not (yet) part of a session: a listener in the making */
  uint8_t side;          /* enum gg_direction of what it receives */
  int fd;                /* -1: not accepted yet, or closed */
  bool used;
  bool is_unix;
  bool connecting;
  bool connected;
  bool reset;   /* by the peer, or the connect failed */
  bool shut;    /* the gateway has sent its FIN */
  bool closed;  /* the gateway has closed it */
  bool aborted; /* ... with RST */
  bool linger;
  bool nospace;  /* a send met a full buffer: the kernel will tell */
  int error;     /* the socket's pending error */
  bool peeking;  /* MSG_PEEK: shows all there is once the FIN has come, as Linux does */
  size_t peeked; /* bytes that MSG_PEEK has shown: a read gets these whole */
  size_t room;   /* of what was sent and not read by the peer */
};

/* One direction's bytes, as they came; `taken` and `delivered` as they were sent. Offsets count payload; a PROXY header
 * before it is counted apart. */
struct sim_way {
  uint64_t header;   /* bytes of a PROXY header in front */
  uint64_t written;  /* by the peer, with the header */
  uint64_t read;     /* by the gateway, with the header */
  uint64_t received; /* payload that the gateway took */
  bool fin_written;
  bool fin_read;
  bool urgent; /* an urgent byte waits at urgent_at */
  uint64_t urgent_at;
  uint64_t taken;     /* by the other side's socket */
  uint64_t delivered; /* read by the other peer */
  bool fin_passed;    /* the gateway has half-closed the other side */
  bool fin_delivered;
  /* In the recording: */
  uint32_t sequence;    /* next */
  uint64_t told;        /* stream offset that packets have told of */
  uint64_t told_before; /* ... before the last chunk */
  uint64_t position;    /* in the log, behind the last chunk */
  uint64_t gaps;        /* told by packets */
  bool fin_told;
};

enum sim_fin_when { SIM_FIN_AT_ONCE, SIM_FIN_AFTER_EOF };

struct sim_peer {
  bool alive;
  uint64_t left;    /* bytes to write */
  size_t write_max; /* at a time */
  size_t read_max;
  size_t window;          /* written and not read by the gateway, at the most */
  uint64_t pace_ns;       /* between two acts, about */
  uint64_t deaf_until_ns; /* reads nothing before */
  uint64_t reset_ns;      /* resets then; UINT64_MAX: never */
  unsigned urgents;       /* urgent bytes to send */
  enum sim_fin_when fin_when;
};

enum sim_answer {
  SIM_CONNECT_SOON,
  SIM_CONNECT_NOW,
  SIM_CONNECT_REFUSED_NOW,
  SIM_CONNECT_REFUSED,
  SIM_CONNECT_NEVER,
  SIM_CONNECT_RESET, /* and reset at once */
};

struct sim_conn {
  unsigned index;
  unsigned listener;
  struct sim_socket socket[2];
  struct sim_way way[2];
  struct sim_peer peer[2];
  enum sim_answer answer;
  unsigned attempt;      /* which connect this is */
  bool listed;           /* its listener has several upstreams, which fail and come back */
  unsigned backlog_full; /* unix connects that say EAGAIN first */
  uint8_t header[SIM_HEADER_MAX];
  uint64_t header_told; /* bytes of the header that the recording has as payload */
  bool header_out_due;
  struct gg_addr client;      /* as connected */
  struct gg_addr told_client; /* as recorded */
  struct gg_session *session; /* until its last packet is recorded */
  bool opened;                /* SYN recorded */
  uint64_t segment;           /* of its last packet */
  bool accepted;
  bool over;   /* last packet recorded */
  bool polite; /* both peers behave: it must end in order */
  char close[32];
  int first_fin; /* direction whose FIN was passed on first; -1: none */
  int first_fin_told;
  int replied;           /* the side in whose name a plug-in replies; -1: none does */
  uint64_t replied_at;   /* in that side's stream */
  uint64_t replied_sent; /* ... as it goes on */
  uint64_t withheld;     /* so many bytes in front of it gates have kept back: they are recorded, and do not go on */
  uint64_t owed[2];      /* when a gate parted the two so much of each stream was to go on all the same */
  bool diverted;         /* a plug-in sent it to another upstream, or the same anew */
  /* What was recorded as sent: a conversation of its own, of which `sent` has only what is in the recording. */
  struct sim_way sent[2];
  bool sent_begun, sent_opened, sent_over;
  uint64_t sent_segment;
};

/* ── The world ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sim_faults {
  unsigned interrupt;   /* one call in so many says EINTR; 0: none (the same below) */
  unsigned again;       /* EAGAIN with a later wake */
  unsigned shorter;     /* short reads and partial writes */
  unsigned descriptors; /* EMFILE */
  unsigned watch;       /* epoll_ctl(ADD) fails */
  unsigned memory;      /* one allocation in so many fails */
  unsigned nth_memory;  /* this one fails; 0: none */
  unsigned tee;         /* short tee */
  unsigned pipe;        /* pipe2 refused */
  unsigned meddle;      /* the world moves on inside a call */
  unsigned spurious;    /* epoll says what it need not say */
};

struct sim_config {
  unsigned conns;
  uint64_t spread_ns; /* over which they arrive */
  uint64_t bytes_max;
  unsigned rude; /* one peer in so many resets */
  unsigned deaf; /* one peer in so many does not read for long */
  unsigned urgent;
  unsigned connect_fails;
  size_t pipe_bytes; /* what F_SETPIPE_SZ comes to */
  bool drain_early;
  uint64_t ring_bytes;
  uint64_t disk_rate;    /* bytes a second */
  unsigned disk_trouble; /* one disk period in so many is a stall or a full disk */
  size_t listeners;
  struct gg_listener_options listener[SIM_LISTENERS];
  struct gg_plane_options options;
  struct sim_faults faults;
};

struct sim_world {
  uint64_t seed;
  uint64_t random;
  uint64_t now_ns;
  uint64_t progress; /* grows whenever something moved */
  bool slept;        /* the worker waited in this turn */
  bool in_gateway;   /* allocations are the gateway's */
  uint64_t allocations;
  uint64_t faults_made; /* resources refused so far */
  uint64_t stall_closes_allowed;
  bool draining;
  bool reload_due;
  uint64_t reloads;
  bool gone[SIM_LISTENERS];        /* by a reload: it does not listen */
  uint64_t gone_ns[SIM_LISTENERS]; /* ... since then */
  struct gg_plane_options ever;    /* the shortest of each time-out that there ever was, the least of each limit */
  unsigned drained;                /* times that an upstream was drained in this seed */
  bool trace;
  struct sim_config config;
  struct sim_conn *conns;
  unsigned spawned;
  struct sim_conn *connecting; /* whose upstream is being connected just now */
  struct gg_plane *plane;
  uint64_t gaps_counted; /* by gg_log_count_gap */
  uint64_t gaps_told;    /* by closing comments */
  uint64_t lost_sessions;
  uint64_t off_record; /* sessions that were not recorded */
  uint64_t rewritten;  /* bytes that rewriters were shown, over all seeds */
  uint64_t tried;      /* upstreams that sessions tried in vain, over all seeds */
  uint64_t sessions;   /* over all seeds */
  uint64_t bytes;
  uint64_t closes[32];
};
extern struct sim_world sim;

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t sim_random(void);
uint64_t sim_below(uint64_t n);   /* 0 for 0 */
bool sim_chance(unsigned one_in); /* 0: never */
uint64_t sim_size(uint64_t most); /* any magnitude up to `most` */

/* What happens later. */
typedef void (*sim_event_fn)(void *argument, unsigned number);
void sim_at(uint64_t time_ns, sim_event_fn event, void *argument, unsigned number);
bool sim_next_event(uint64_t until_ns); /* runs the next one if it is due by then */
void sim_meddle(void);                  /* inside calls: the world may move on */
void sim_world_reset(void);
void sim_world_fini(void);

/* Descriptors. */
enum sim_kind { SIM_FREE, SIM_SOCKET, SIM_LISTENER, SIM_EPOLL, SIM_EVENTFD, SIM_PIPE_READ, SIM_PIPE_WRITE };
int sim_fd_open(enum sim_kind kind, void *object); /* -1 with EMFILE */
enum sim_kind sim_fd_kind(int fd);
void *sim_fd_object(int fd, enum sim_kind kind); /* fails if it is not of the kind */
void sim_fd_change(int fd, enum sim_kind kind, void *object);
void sim_fd_close(int fd);
unsigned sim_fds_open(void);
void sim_wake(int fd, uint32_t key); /* 0: all who watch it */
void sim_wake_later(int fd, uint32_t key);

/* sockets.c */
uint32_t sim_socket_poll(struct sim_socket *socket);
uint32_t sim_listener_poll(void *listener);
void sim_socket_close(int fd);
void sim_listener_close(int fd);
ssize_t sim_socket_take(struct sim_socket *socket, size_t want); /* bytes that a read gets; counts them */
size_t sim_socket_free(const struct sim_socket *socket);
ssize_t sim_socket_give(struct sim_socket *socket, size_t want); /* how many a send takes; does not count them */
void sim_socket_given(struct sim_socket *socket, size_t bytes);
void sim_socket_peer_reset(struct sim_socket *socket);
void sim_listener_push(struct sim_conn *conn);
struct sim_socket *sim_socket_of(int fd);

/* Whether that upstream of a listener with several is down now, and how it answers then. */
bool sim_upstream_down(unsigned listener, unsigned upstream, enum sim_answer *answer);

/* pipes.c */
void sim_pipe_close(int fd);
ssize_t sim_pipe_readv(int fd, const struct iovec *iov, int count);

/* Content. */
void sim_fill(const struct sim_conn *conn, unsigned direction, uint64_t offset, void *data, size_t bytes);
bool sim_same(const struct sim_conn *conn, unsigned direction, uint64_t offset, const void *data, size_t bytes);

/* peers.c */
void sim_conn_spawn(void *unused, unsigned index);
void sim_peer_begin(struct sim_conn *conn, unsigned side);

/* recording.c */
void sim_logs_begin(void);
void sim_logs_end(void);
void sim_told_client(struct sim_conn *conn, const struct gg_addr *client);
bool sim_log_wakes(const struct gg_log *log); /* a wake is on its way, or is sure to come */
bool sim_log_is_durable(const struct gg_log *log, uint64_t position);

/* gates.c */
void sim_gates_begin(struct gg_metrics *metrics);
void sim_gates_set(struct gg_plane *plane);
void sim_gates_end(void);
uint64_t sim_gates_refused(void); /* connections, at accept */
bool sim_gates_let(const struct sim_conn *conn, unsigned direction, uint64_t end);
/* masks.c */
const struct gg_plugin *sim_masks_begin(void);
void sim_masks_end(void);
/* As sim_same, of what the recording should have. */
bool sim_masked_same(const struct sim_conn *conn, unsigned direction, uint64_t offset, const void *data, size_t bytes);
/* How many of the bytes that were received may have gone on without being recorded. */
uint64_t sim_masked_back(const struct sim_conn *conn, unsigned direction);
/* peers.c: the side's stream goes on with the reply of gates.c from there. */
void sim_replied(struct sim_conn *conn, unsigned side, uint64_t at, uint64_t sent, uint64_t withheld);
bool sim_is_replied(const struct sim_conn *conn, unsigned side);
/* Where in the stream that goes on the next byte is that goes on. */
uint64_t sim_next_to_go(const struct sim_conn *conn, unsigned direction);

/* rewrites.c */
void sim_rewrites_begin(void);
void sim_rewrites_end(void);
void sim_rewriter_wants(const struct sim_conn *conn, unsigned plugin, unsigned direction, bool on);
/* A plug-in's `rewrite`; with `last` it is about to give it back. False: something was refused, the session ends. */
bool sim_rewrite(struct sim_conn *conn, unsigned plugin, const struct gg_host *host, const struct gg_data *data,
                 struct gg_output *output, bool last);
/* Content of the stream that goes on, and its length by what was received so far. */
bool sim_same_sent(const struct sim_conn *conn, unsigned direction, uint64_t at, const void *data, size_t bytes);
uint64_t sim_sent_length(const struct sim_conn *conn, unsigned direction);
/* Where in the received stream the byte is that goes on at `at`; UINT64_MAX: a rewriter has put it out. For how many
 * bytes from there on the same is true. */
uint64_t sim_untouched(const struct sim_conn *conn, unsigned direction, uint64_t at, uint64_t *received);

/* reloads.c */
void sim_reloads_begin(void);
void sim_reload(void); /* if it is time for one */
int sim_listener_fd(const struct sim_conn *conn);

/* checks.c */
void sim_check_sleep(uint64_t until_ns);
void sim_check_forward(struct sim_conn *conn, unsigned direction, size_t bytes);
void sim_check_closed(struct sim_conn *conn, const char *comment, size_t bytes);
void sim_check_sent_closed(struct sim_conn *conn, const char *comment, size_t bytes);
struct sim_conn *sim_conn_of(const struct gg_session *session);
void sim_check_end(void);

#endif
