"""Right passwords beside a flood of wrong ones, from 1, 6 and 40 addresses of loopback.

    flood.py PORT CONNECTIONS SECONDS CHANGE-COMMAND

Expects the users u1 to u30 with the passwords right-pass-1 to right-pass-30. u1 to u10 are remembered, u11 to u30 log in
for the first time. Prints one line for each number of addresses: requests a second of the remembered users without a flood,
beside it as a share of that, and the share right after a change of users; how many of the first logins were let in, and how long they took.
CHANGE-COMMAND changes the password file.

The guesses come from a process of its own, at the lowest priority: otherwise the right users would share its interpreter, and
the machine's processors would go to the flood's own TLS, which in truth is other machines' work.

    flood.py --guess PORT NETWORK ADDRESSES CONNECTIONS
"""

import base64
import http.client
import os
import ssl
import subprocess
import sys
import threading
import time

TLS = ssl._create_unverified_context()
GUESS = sys.argv[1] == "--guess"
if GUESS:
    PORT, NETWORK, ADDRESSES, CONNECTIONS = map(int, sys.argv[2:])
else:
    PORT, CONNECTIONS, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    CHANGE = sys.argv[4]


def ask(connection, user, password):
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    connection.request("GET", "/v2/", headers={"Authorization": f"Basic {basic}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def connect(address):
    return http.client.HTTPSConnection("127.0.0.1", PORT, context=TLS, timeout=30, source_address=(address, 0))


def guess(address, number, ended):
    """Wrong passwords, one after the other, as fast as they are refused; half of them for users who exist."""
    connection, n = connect(address), 0
    while not ended.is_set():
        try:
            n += 1
            ask(connection, f"u{n % 30 + 1}" if n % 2 else f"unknown{n}", f"wrong-{number}-{n}")
            # A guesser gains nothing by being refused faster, and this machine has work beside it.
            time.sleep(0.05)
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = connect(address)
    connection.close()


def right(number, until, counts):
    """A remembered user, who asks ten times a second."""
    connection = connect(f"127.0.9.{number}")
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            is_let_in = ask(connection, f"u{number}", f"right-pass-{number}") == 200
            counts[number if is_let_in else "refused"] += 1
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = connect(f"127.0.9.{number}")
        time.sleep(max(0, 0.1 - (time.monotonic() - began)))
    connection.close()


def rate():
    counts = dict.fromkeys([*range(1, 11), "refused"], 0)
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=right, args=(n, until, counts)) for n in range(1, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = counts.pop("refused")
    return sum(counts.values()) / SECONDS, refused


def first_logins(addresses, numbers):
    let_in, times = [], []
    for n in numbers:
        began = time.monotonic()
        connection = connect(f"127.0.{addresses}.{n + 100}")
        try:
            let_in.append(ask(connection, f"u{n}", f"right-pass-{n}") == 200)
        except (OSError, http.client.HTTPException):
            let_in.append(False)
        connection.close()
        times.append(time.monotonic() - began)
    return sum(let_in), len(let_in), sorted(times)[len(times) // 2]


def load():
    return "/".join(f"{each:.1f}" for each in os.getloadavg()[:2])


if GUESS:
    os.nice(19)
    for number in range(CONNECTIONS):
        threading.Thread(target=guess, args=(f"127.0.{NETWORK}.{number % ADDRESSES + 1}", number, threading.Event())).start()
    threading.Event().wait()

rate()
for n, addresses in enumerate((1, 6, 40)):
    calm, _ = rate()
    subprocess.run(CHANGE, shell=True, check=True)
    calm_changed, _ = rate()
    guesses = subprocess.Popen([sys.executable, __file__, "--guess", str(PORT), str(10 + n), str(addresses), str(CONNECTIONS)])
    time.sleep(3)
    beside, refused = rate()
    subprocess.run(CHANGE, shell=True, check=True)
    changed, refused_then = rate()
    let_in, tried, took = first_logins(100 + n, range(11 + 5 * n, 16 + 5 * n))
    guesses.kill()
    guesses.wait()
    print(
        f"{addresses:2} addresses: remembered users {calm:6.1f}/s, beside the flood {beside / calm:.2f} ({refused} refused),"
        f" right after a change of users {changed / max(calm_changed, 0.1):.2f} ({refused_then} refused); first logins {let_in} of {tried}, median {took:.1f} s; load {load()}",
        flush=True,
    )
