/*
 * A closed-loop client that spins.
 *
 * Each connection has one request in the air.  The client never sleeps while
 * it measures: a sleeping client has to be woken, and the kernel charges that
 * wake-up to whoever sent, which is the server under test.
 *
 * The measured window begins and ends in silence.  The client
 *
 *   1. connects and waits until every connection has had one right answer,
 *   2. warms up, lets every answer come in, prints {"event": "ready", ...}
 *      and sleeps on its standard input,
 *   3. at the first byte there, runs the window, again lets every answer come
 *      in, prints {"event": "done", ...} and sleeps until its input ends.
 *
 * At both marks the server has nothing to do, so what it used between them is
 * the price of exactly the operations counted.  The connections stay open
 * until the input ends: closing them is work for the server too.
 *
 * Every byte of every answer is compared.  A wrong byte, a closed connection
 * or silence beyond the patience ends the run with {"event": "error", ...}.
 *
 * With --datagrams it is the same over UDP: a request is one datagram, and so
 * is its answer.  One that is lost is silence, and ends the run.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int fd;
    bool busy;               /* a request is in the air */
    uint64_t operations;     /* finished in this phase */
    size_t sent_bytes;       /* of the request in the air */
    size_t received_bytes;   /* of its answer */
    char *request;           /* echo: owned, its head numbers the operation */
    const char *answer;      /* borrowed; echo: the request itself */
};

static struct connection *connections;
static int connection_count = 1;
static size_t request_bytes = 64;
static size_t answer_bytes;
static const char *fixed_request;    /* NULL: echo */
static const char *fixed_answer;
static bool datagrams;               /* UDP instead of TCP */
static double seconds = 2.0;
static double warmup_seconds = 0.3;
static double patience_seconds = 10.0;
static uint64_t operation_number;
static char *incoming;
static size_t incoming_bytes;

static void fail(const char *format, ...)
{
    va_list arguments;
    printf("{\"event\": \"error\", \"message\": \"");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\"}\n");
    fflush(stdout);
    exit(1);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void connect_one(struct connection *connection, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        fail("socket: %s", strerror(errno));
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail("connect to port %d: %s", port, strerror(errno));
    if (!datagrams)
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0)
        fail("fcntl: %s", strerror(errno));
}

static void prepare(struct connection *connection)
{
    if (fixed_request != NULL) {
        connection->request = (char *)fixed_request;
        connection->answer = fixed_answer;
        return;
    }
    connection->request = malloc(request_bytes);
    if (connection->request == NULL)
        fail("out of memory");
    /* No two neighbouring offsets look alike, so that a shifted or a
     * repeated stretch is a wrong byte. */
    uint64_t state = 0x9e3779b97f4a7c15u ^ (uint64_t)(connection - connections);
    for (size_t i = 0; i < request_bytes; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        connection->request[i] = (char)state;
    }
    connection->answer = connection->request;
}

static void begin(struct connection *connection)
{
    if (fixed_request == NULL) {
        /* Every operation of the run has its own number, so an answer to
         * another request, of whichever connection, is a wrong answer. */
        size_t head = sizeof(operation_number);
        if (head > request_bytes)
            head = request_bytes;
        operation_number++;
        memcpy(connection->request, &operation_number, head);
    }
    connection->sent_bytes = 0;
    connection->received_bytes = 0;
    connection->busy = true;
}

static void send_more(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->request + connection->sent_bytes,
                        request_bytes - connection->sent_bytes, MSG_NOSIGNAL);
    if (sent >= 0)
        connection->sent_bytes += (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR)
        fail("send: %s", strerror(errno));
}

static void receive_more(struct connection *connection)
{
    ssize_t got = recv(connection->fd, incoming, incoming_bytes, 0);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            fail("recv: %s", strerror(errno));
        return;
    }
    if (got == 0)
        fail("the server closed a connection");
    if (connection->received_bytes + (size_t)got > answer_bytes)
        fail("an answer is longer than %zu bytes", answer_bytes);
    if (memcmp(incoming, connection->answer + connection->received_bytes, (size_t)got) != 0)
        fail("an answer has wrong bytes within %zu bytes from offset %zu", (size_t)got,
             connection->received_bytes);
    connection->received_bytes += (size_t)got;
    if (connection->received_bytes == answer_bytes) {
        if (connection->sent_bytes != request_bytes)
            fail("an answer came before its request was sent");
        connection->busy = false;
        connection->operations++;
    }
}

/* Keep one request per connection in the air for so long (0: one each), then
 * wait for the answers.  Returns the seconds until the last one. */
static double run_for(double wanted_seconds)
{
    double start = now_s(), last_progress = start;
    bool starting = true;
    int busy = connection_count;
    uint64_t progress = 0, seen_progress = 0;

    for (int i = 0; i < connection_count; i++) {
        connections[i].operations = 0;
        begin(&connections[i]);
        send_more(&connections[i]);
    }
    while (busy > 0) {
        for (int i = 0; i < connection_count; i++) {
            struct connection *connection = &connections[i];
            if (!connection->busy)
                continue;
            if (connection->sent_bytes < request_bytes)
                send_more(connection);
            receive_more(connection);
            if (connection->busy)
                continue;
            progress++;
            if (starting && wanted_seconds > 0) {
                begin(connection);
                send_more(connection);
            } else {
                busy--;
            }
        }
        double now = now_s();
        if (now - start >= wanted_seconds)
            starting = false;
        if (progress != seen_progress) {
            seen_progress = progress;
            last_progress = now;
        }
        /* Starved connections hide behind the progress of others, hence the
         * second bound: all answers are due when nothing new is asked. */
        if (now - last_progress > patience_seconds
            || now - start > wanted_seconds + patience_seconds)
            fail("%d of %d connections have no answer after %.1f s", busy, connection_count,
                 now - start);
    }
    return now_s() - start;
}

static void wait_for_input(bool want_byte)
{
    char byte;
    ssize_t got;
    do {
        got = read(STDIN_FILENO, &byte, 1);
    } while ((got < 0 && errno == EINTR) || (got > 0 && !want_byte));
    if (want_byte && got != 1)
        exit(0);
}

static double number(const char *text, double least)
{
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text || value < least)
        fail("not a number of at least %g: %s", least, text);
    return value;
}

int main(int argc, char **argv)
{
    enum { PORT = 1, CONNECTIONS, BYTES, SECONDS, WARMUP, PATIENCE, REQUEST, ANSWER,
           DATAGRAMS };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"bytes", required_argument, NULL, BYTES},
        {"seconds", required_argument, NULL, SECONDS},
        {"warmup-seconds", required_argument, NULL, WARMUP},
        {"patience-seconds", required_argument, NULL, PATIENCE},
        {"request", required_argument, NULL, REQUEST},
        {"answer", required_argument, NULL, ANSWER},
        {"datagrams", no_argument, NULL, DATAGRAMS},
        {NULL, 0, NULL, 0},
    };
    int port = 0, option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case PORT: port = (int)number(optarg, 1); break;
        case CONNECTIONS: connection_count = (int)number(optarg, 1); break;
        case BYTES: request_bytes = (size_t)number(optarg, 1); break;
        case SECONDS: seconds = number(optarg, 0.001); break;
        case WARMUP: warmup_seconds = number(optarg, 0); break;
        case PATIENCE: patience_seconds = number(optarg, 0.001); break;
        case REQUEST: fixed_request = optarg; break;
        case ANSWER: fixed_answer = optarg; break;
        case DATAGRAMS: datagrams = true; break;
        default: fail("unknown option");
        }
    }
    if (port == 0)
        fail("--port is needed");
    if ((fixed_request == NULL) != (fixed_answer == NULL))
        fail("--request and --answer go together");
    if (fixed_request != NULL) {
        request_bytes = strlen(fixed_request);
        answer_bytes = strlen(fixed_answer);
    } else {
        answer_bytes = request_bytes;
    }
    incoming_bytes = answer_bytes < 65536 ? answer_bytes + 1 : 65536;
    incoming = malloc(incoming_bytes);
    connections = calloc((size_t)connection_count, sizeof(*connections));
    if (incoming == NULL || connections == NULL)
        fail("out of memory");

    double start = now_s();
    for (int i = 0; i < connection_count; i++) {
        prepare(&connections[i]);
        connect_one(&connections[i], port);
    }
    run_for(0);
    double first_answers_s = now_s() - start;
    if (warmup_seconds > 0)
        run_for(warmup_seconds);
    printf("{\"event\": \"ready\", \"first_answers_s\": %.6f}\n", first_answers_s);
    fflush(stdout);
    wait_for_input(true);

    double took_s = run_for(seconds);
    uint64_t total = 0, least = UINT64_MAX, most = 0;
    for (int i = 0; i < connection_count; i++) {
        uint64_t operations = connections[i].operations;
        total += operations;
        least = operations < least ? operations : least;
        most = operations > most ? operations : most;
    }
    printf("{\"event\": \"done\", \"operations\": %llu, \"seconds\": %.6f, "
           "\"least_per_connection\": %llu, \"most_per_connection\": %llu}\n",
           (unsigned long long)total, took_s, (unsigned long long)least,
           (unsigned long long)most);
    fflush(stdout);
    wait_for_input(false);
    return 0;
}
