"""Shows on a running nginx what its configuration promises, with two scripted instances behind it.

Usage: behaviour_test.py HTTP_PORT INSTANCE_1_PORT INSTANCE_2_PORT ACCESS_LOG
"""

import http.client
import json
import socket
import sys
import threading
import time

HTTP, FIRST, SECOND = (int(port) for port in sys.argv[1:4])
ACCESS_LOG = sys.argv[4]
PRODUCTS = "/api/exhibitions/aaa/products"
QUEUE = "/api/exhibitions/aaa/queue"


class Instance:
    """Answers one request a connection the way it is told, and remembers what it was asked."""

    def __init__(self, port):
        self.port, self.seen, self.socket = port, [], None
        self.act = reply()
        self.listen()

    def listen(self):
        self.socket = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self.accept, args=(self.socket,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            line = stream.readline().decode().split()
            if len(line) != 3:
                return
            headers = http.client.parse_headers(stream)
            stream.read(int(headers.get("Content-Length", 0)))
            self.seen.append((line[0], line[1], headers))
            answer = self.act(len(self.seen))
            if answer:
                connection.sendall(answer)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def reply(status=200, extra=""):
    def act(count):
        body = json.dumps({"count": count})
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\nX-Request-ID: theirs\r\n{extra}\r\n{body}".encode()

    return act


def hang_up(_):
    """The request arrived, its answer never does."""
    return None


first, second = Instance(FIRST), Instance(SECOND)


def both(act):
    for instance in (first, second):
        instance.act = act
        instance.seen.clear()


def seen():
    return first.seen + second.seen


def ask(method, path, body=None, source="127.0.0.1", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=20, source_address=(source, 0))
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def problem(answer, status, code):
    same("status", answer[0], status)
    same("type", answer[1].get_content_type(), "application/problem+json")
    same("code", json.loads(answer[2])["code"], code)
    same("nosniff", answer[1].get_all("X-Content-Type-Options"), ["nosniff"])
    hsts(answer)


def hsts(answer):
    """The check starts nginx with this value: every location must send it, whoever gave the answer."""
    same("Strict-Transport-Security", answer[1].get_all("Strict-Transport-Security"), ["max-age=1"])


def a_read_is_tried_on_the_other_instance():
    both(hang_up)
    second.act = reply()
    for _ in range(4):
        same("status", ask("GET", "/api/orders/x")[0], 200)


def a_keyed_post_is_sent_twice_at_most():
    for path in ("/api/orders", "/api/payments/initialize"):
        both(hang_up)
        problem(ask("POST", path, "{}", Idempotency_Key="k"), 502, "edge.away")
        same("requests", len(seen()), 2)
        second.act = reply()
        for _ in range(4):
            same("status", ask("POST", path, "{}", Idempotency_Key="k")[0], 200)


def a_post_without_key_is_sent_once():
    for path in ("/api/orders", "/api/payments/initialize", "/api/orders/x/cancel", "/api/auth/login"):
        both(hang_up)
        problem(ask("POST", path, "{}"), 502, "edge.away")
        same("requests", len(seen()), 1)


def a_confirm_is_never_sent_again():
    both(hang_up)
    problem(ask("POST", "/api/payments/confirm", "{}", Idempotency_Key="k"), 502, "edge.away")
    same("requests", len(seen()), 1)


def answers_5xx_are_not_retried():
    both(reply(503))
    for method, path in (("GET", "/api/orders/x"), ("POST", "/api/orders"), ("POST", "/api/payments/confirm")):
        both(reply(503))
        same("status", ask(method, path, "{}", Idempotency_Key="k")[0], 503)
        same("requests", len(seen()), 1)


def a_place_in_line_may_be_asked_for_twice():
    for path in (f"{QUEUE}/join", f"{QUEUE}/claim", "/aaa/queue/join", "/aaa/queue/claim"):
        both(hang_up)
        same("status", ask("POST", path, "{}")[0] in (502, 503), True)
        same(f"{path} requests", len(seen()), 2)
        second.act = reply()
        for _ in range(4):
            same("status", ask("POST", path, "{}")[0], 200)
    for path in (f"{QUEUE}/leave", f"{QUEUE}/park", "/aaa/queue/leave", "/aaa/queue/extend", "/aaa/queue/park"):
        both(hang_up)
        same("status", ask("POST", path, "{}")[0] in (502, 503), True)
        same(f"{path} requests", len(seen()), 1)


def a_poll_is_answered_by_the_other_instance():
    both(hang_up)
    second.act = reply()
    for _ in range(4):
        same("status", ask("GET", f"{QUEUE}/status", Cookie="admit_q_aaa=x")[0], 200)
    same("the place in line is passed on", {request[2].get("Cookie") for request in second.seen}, {"admit_q_aaa=x"})


def the_room_is_remembered_for_a_second_and_places_never():
    for path in ("state", "draw"):
        both(reply(200, "Cache-Control: public, max-age=1\r\n"))
        answers = [ask("GET", f"{QUEUE}/{path}", Cookie="admit_q_aaa=secret") for _ in range(30)]
        same("statuses", {answer[0] for answer in answers}, {200})
        if len(seen()) > 3:
            raise AssertionError(f"{len(seen())} requests for {path} reached the instances")
        same("cookie passed on", {request[2].get("Cookie") for request in seen()}, {None})
    both(reply(200, "X-Old: no\r\n"))
    deadline = time.monotonic() + 8  # after a quiet second the first to come gets a fresh copy, not the old one
    while ask("GET", f"{QUEUE}/draw")[1]["X-Old"] != "no":
        if time.monotonic() > deadline:
            raise AssertionError("the old copy is never renewed")
        time.sleep(2.1)  # nginx counts whole seconds
        same("fresh", ask("GET", f"{QUEUE}/draw")[1]["X-Cache"], "EXPIRED")
    for path in (f"{QUEUE}/status", f"{QUEUE}/proof", f"{QUEUE}/log?after=0", "/aaa/queue", "/aaa/queue/draw"):
        both(reply())
        for _ in range(3):
            same("status", ask("GET", path, Cookie="admit_q_aaa=x")[0], 200)
        same(f"{path} requests", len(seen()), 3)


def a_flood_of_joins_from_one_address_ends_here():
    both(reply())
    flood = [ask("POST", f"{QUEUE}/join", "{}", source="127.0.0.2", Accept_Language="en") for _ in range(400)]
    refused = [answer for answer in flood if answer[0] != 200]
    problem(refused[0], 429, "edge.too_many")
    same("retry", refused[0][1]["Retry-After"], "1")
    # Between the burst, and the burst with what the rate gives while this runs.
    if not 200 <= len(seen()) < 400:
        raise AssertionError(f"{len(seen())} of 400 joins got through")
    person = next(page for page in (ask("POST", "/aaa/queue/join", "", source="127.0.0.2") for _ in range(400)) if page[0] != 200)
    same("page", (person[0], person[1]["Content-Type"]), (429, "text/html; charset=utf-8"))
    hsts(person)
    same("both languages", "잠시만" in person[2] and "One moment" in person[2], True)
    # What those who have a number need is not limited with it, and neither is anybody else.
    for method, path in (("GET", "/aaa/queue"), ("GET", f"{QUEUE}/status"), ("POST", f"{QUEUE}/claim")):
        same(path, ask(method, path, source="127.0.0.2")[0], 200)
    for address in ("127.0.0.3", "127.0.0.1"):
        same(address, ask("POST", f"{QUEUE}/join", "{}", source=address)[0], 200)
    both(reply())
    same("this machine", {ask("POST", f"{QUEUE}/join", "{}")[0] for _ in range(300)}, {200})


def a_missing_instance_is_not_noticed():
    both(reply())
    first.stop()
    for path in ("/api/payments/confirm", "/api/orders", "/api/auth/login", f"{QUEUE}/join", f"{QUEUE}/claim", f"{QUEUE}/leave"):
        for _ in range(6):
            same(path, ask("POST", path, "{}")[0], 200)
    first.listen()


def public_reads_are_remembered_for_a_second():
    both(reply(200))
    answers = [ask("GET", PRODUCTS, Cookie="order=secret") for _ in range(30)]
    same("statuses", {answer[0] for answer in answers}, {200})
    # A second may have passed in between; then the background fetched one more.
    if len(seen()) > 3:
        raise AssertionError(f"{len(seen())} requests reached the instances")
    same("cookie passed on", {request[2].get("Cookie") for request in seen()}, {None})
    same("cache", answers[-1][1]["X-Cache"] in ("HIT", "STALE", "UPDATING"), True)
    same("own request ids", len({answer[1]["X-Request-ID"] for answer in answers}), 30)


def pages_of_the_catalogue_are_remembered_for_each_language():
    both(reply(200, "Cache-Control: public, max-age=1\r\n"))
    languages = (
        ({"Accept_Language": "ko-KR,ko;q=0.9,en;q=0.8"}, "ko"),
        ({"Accept_Language": "en-GB,en;q=0.9,ko;q=0.5"}, "en"),
        ({"Accept_Language": "fr,en;q=0.5"}, "en"),
        ({"Accept_Language": "fr"}, "ko"),
        ({}, "ko"),
        ({"Accept_Language": "ko", "Cookie": "a=b; admit_language=en"}, "en"),
        ({"Accept_Language": "en", "Cookie": "admit_language=ko; admit_ord1=secret"}, "ko"),
    )
    for headers, language in languages:
        for path in ("/", "/aaa", "/terms"):
            answer = ask("GET", path, **headers)
            same(f"{path} {headers}", answer[0], 200)
            same("browsers ask each time", answer[1]["Cache-Control"], "public, max-age=0, must-revalidate")
    asked = {(request[1], request[2].get("Accept-Language")) for request in seen()}
    same("languages", asked, {(path, language) for path in ("/", "/aaa", "/terms") for language in ("ko", "en")})
    same("cookie passed on", {request[2].get("Cookie") for request in seen()}, {None})
    if len(seen()) > 18:
        raise AssertionError(f"{len(seen())} requests reached the instances")


def what_is_personal_is_never_remembered():
    for path, headers, act in (
        ("/api/exhibitions/private-1/products", {"Authorization": "Bearer x"}, reply()),
        ("/api/exhibitions/private-2", {}, reply(200, "Set-Cookie: a=b\r\n")),
        ("/api/exhibitions/private-3", {}, reply(200, "Cache-Control: no-store\r\n")),
        ("/api/exhibitions/unknown", {}, reply(404)),
        ("/api/exhibitions?cursor=x", {}, reply()),
        ("/api/orders/x", {}, reply()),
        ("/aaa?told=x", {}, reply()),
        ("/aaa/order", {}, reply()),
        ("/orders", {}, reply()),
    ):
        both(act)
        for _ in range(3):
            ask("GET", path, **headers)
        same(f"{path} requests", len(seen()), 3)


def the_visitor_cannot_lie_about_himself():
    both(reply())
    ask(
        "GET", "/api/orders/x", X_Forwarded_For="6.6.6.6", X_Real_IP="6.6.6.6", Forwarded="for=6.6.6.6",
        X_Forwarded_Proto="https", X_Forwarded_Host="evil", Proxy="http://evil",
        X_Request_ID="visitor-0001", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )  # fmt: skip
    headers = seen()[0][2]
    same("address", headers.get_all("X-Forwarded-For"), ["127.0.0.1"])
    same("scheme", headers.get_all("X-Forwarded-Proto"), ["http"])
    for name in ("X-Real-IP", "Forwarded", "X-Forwarded-Host", "Proxy"):
        same(name, headers.get(name), None)
    same("request id", headers["X-Request-ID"], "visitor-0001")
    same("trace", headers["traceparent"][:5], "00-aa")
    both(reply())
    ask("GET", "/api/orders/x", X_Request_ID='"}<script>')
    same("fresh request id", len(seen()[0][2]["X-Request-ID"]), 32)


def every_answer_says_to_stay_on_tls():
    both(reply())
    for method, path in (
        ("GET", "/"), ("GET", "/aaa"), ("GET", "/api/orders/x"), ("POST", "/api/orders"), ("POST", "/api/payments/confirm"),
        ("GET", "/api/exhibitions"), ("GET", "/api/exhibitions/tls"), ("GET", "/api/exhibitions/tls/products"),
        ("GET", "/api/exhibitions/tls/queue/state"), ("GET", "/api/exhibitions/tls/queue/status"),
        ("POST", "/api/exhibitions/tls/queue/join"), ("POST", "/tls/queue/claim"),
    ):  # fmt: skip
        for headers in ({}, {"Idempotency_Key": "k"}):
            answer = ask(method, path, **headers)
            same("status", answer[0], 200)
            hsts(answer)
    both(reply(404))
    hsts(ask("GET", "/nothing"))


def large_bodies_reach_admit_and_huge_ones_do_not():
    both(reply(413))
    same("answer of Admit", ask("POST", "/api/orders", "x" * 100_000)[2], '{"count": 1}')
    both(reply())
    problem(ask("POST", "/api/orders", "x" * 200_000, Accept_Language="en"), 413, "edge.too_large")
    same("requests", len(seen()), 0)


def private_paths_stay_private():
    both(reply())
    for path in ("/metrics", "/metrics/x", "//metrics", "/%6detrics", "/a/../metrics", "/_sim", "/_sim/counts", "/x/..//_sim/counts"):
        problem(ask("GET", path), 404, "edge.nothing_here")
    same("requests", len(seen()), 0)


def when_everything_is_away():
    both(reply())
    ask("GET", PRODUCTS)
    first.stop()
    second.stop()
    deadline = time.monotonic() + 5  # the second of memory passes by nginx's clock, which nobody can move
    while True:
        remembered = ask("GET", PRODUCTS)
        same("the list stays up", remembered[0], 200)
        if remembered[1]["X-Cache"] == "STALE":
            break
        if time.monotonic() > deadline:
            raise AssertionError("the list was never stale")
        time.sleep(0.05)
    korean = ask("POST", "/api/orders?token=SECRET", "{}")
    problem(korean, 502, "edge.away")
    same("retry", korean[1]["Retry-After"], "5")
    english = ask("POST", "/api/orders", "{}", Accept_Language="en-US,en;q=0.9")
    same("two languages", korean[2] != english[2] and "again" in english[2], True)
    page = ask("GET", "/aaa?token=SECRET")
    same("page", (page[0], page[1]["Content-Type"]), (503, "text/html; charset=utf-8"))
    hsts(page)
    same("both languages", "잠시만" in page[2] and "One moment" in page[2], True)
    first.listen()
    second.listen()


def the_log_tells_no_secrets():
    deadline = time.monotonic() + 5  # nginx writes its buffer once a second
    while True:
        log = open(ACCESS_LOG).read()
        if '"path":"/aaa"' in log:
            break
        if time.monotonic() > deadline:
            raise AssertionError("the failed page is not in the log")
        time.sleep(0.1)
    for line in log.splitlines():
        json.loads(line)
    same("query strings in the log", "SECRET" in log, False)


def main():
    failed = 0
    for check in [value for value in list(globals().values()) if callable(value) and value.__module__ == "__main__"]:
        if "_" not in check.__name__ or check.__name__ in ("hang_up",):
            continue
        try:
            check()
            print(f"  ok    {check.__name__.replace('_', ' ')}")
        except (AssertionError, OSError, KeyError, ValueError, TypeError, IndexError) as error:
            failed += 1
            print(f"  FAIL  {check.__name__.replace('_', ' ')}: {error!r}")
    return 1 if failed else 0


sys.exit(main())
