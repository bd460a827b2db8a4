#!/usr/bin/env python3
"""Recomputes a waiting room's draw from the values that were published with it.

Needs Python 3.8 and nothing else. The algorithm, "wr-draw-v1":

  seed_hash = SHA-256(server_seed)              published before anybody joined
  seed      = SHA-256("wr-draw-v1" | length of the code | code | length of the beacon value | beacon value
                      | server_seed | root | m)      lengths: 2 bytes, m: 4 bytes, big-endian
  key(n)    = SHA-256(seed | n)                 n: 4 bytes, big-endian, for every number n = 1 ... m
  rank(n)   = 1 + how many keys are smaller than key(n); numbers above m are their own rank

That a number is among the m people (--proof), below the root that was published before the draw:

  leaf(n)   = SHA-256("leaf" | length of the code | code | n | SHA-256(device | salt))      device: 4 bytes, salt: 16
  node      = SHA-256("node" | left | right)    an odd last node moves up as it is
"""

import argparse
import hashlib
import http.client
import json
import sys
import urllib.request

ALGORITHM = "wr-draw-v1"
U32_MAX = 2**32 - 1
NOBODY = U32_MAX


class Bad(Exception):
    """What is wrong, in words."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u32(n):
    return n.to_bytes(4, "big")


def field(value):
    if len(value) > 65535:
        raise Bad("A published value is longer than 65,535 bytes.")
    return len(value).to_bytes(2, "big") + value


def draw_seed(code, beacon_value, server_seed, root, m):
    return sha256(ALGORITHM.encode(), field(code.encode()), field(beacon_value), server_seed, root, u32(m))


def ranks(seed, m):
    """The rank of number n stands at n - 1."""
    table = [0] * m
    for rank, n in enumerate(sorted(range(1, m + 1), key=lambda n: sha256(seed, u32(n))), 1):
        table[n - 1] = rank
    return table


def rank_of(seed, m, number):
    if number > m:
        return number
    own = sha256(seed, u32(number))
    return 1 + sum(sha256(seed, u32(n)) < own for n in range(1, m + 1))


def hex_of(draw, name, length=None):
    value = draw.get(name)
    try:
        value = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise Bad(f"{name} is missing or not hex.") from None
    if length is not None and len(value) != length:
        raise Bad(f"{name} must have {length} bytes and has {len(value)}.")
    return value


def number_of(given, name, low, high):
    value = given.get(name)
    if type(value) is not int or not low <= value <= high:
        raise Bad(f"{name} is missing or not a number from {low} to {high}.")
    return value


def check_kind(draw):
    """The exhibition's code and m, or Bad."""
    if not isinstance(draw, dict):
        raise Bad("This is not the description of a draw.")
    if draw.get("algorithm") != ALGORITHM:
        raise Bad(f"The algorithm is {draw.get('algorithm')!r}; this program knows {ALGORITHM} only.")
    code, m = draw.get("exhibition_code"), draw.get("m")
    if not isinstance(code, str) or not code.isascii():
        raise Bad("exhibition_code is missing or not ASCII.")
    if type(m) is not int or not 0 <= m <= U32_MAX:
        raise Bad("m is missing or not a number of people.")
    return code, m


def check(draw):
    """The draw's seed and m, or Bad."""
    code, m = check_kind(draw)
    if draw.get("seed") == "":
        raise Bad("Nothing is drawn yet: come back when the seed is published.")
    server_seed, root = hex_of(draw, "server_seed", 32), hex_of(draw, "root", 32)
    if sha256(server_seed) != hex_of(draw, "seed_hash", 32):
        raise Bad("seed_hash is NOT the SHA-256 of server_seed: the server's seed was changed after it was announced.")
    seed = draw_seed(code, hex_of(draw, "beacon_value"), server_seed, root, m)
    if seed != hex_of(draw, "seed", 32):
        raise Bad(f"The seed does NOT follow from the published values. They give {seed.hex()}.")
    return seed, m


def leaf_of(code, number, device, salt):
    return sha256(b"leaf", field(code.encode()), u32(number), sha256(u32(device), salt))


def root_above(leaf, index, m, steps):
    """Where the steps lead. Sides follow from the place: whoever gives the steps cannot choose them."""
    node, at, last, left = leaf, index, m - 1, list(steps)
    while last > 0:
        if at % 2 or at < last:
            if not left:
                raise Bad("The proof has too few steps.")
            step = left.pop(0)
            node = sha256(b"node", *((step, node) if at % 2 else (node, step)))
        at, last = at // 2, last // 2
    if left:
        raise Bad("The proof has too many steps.")
    return node


def check_proof(proof, draw):
    """Whether a number stands below the draw's root, or Bad."""
    code, m = check_kind(draw)
    if not isinstance(proof, dict):
        raise Bad("This is not the proof of a number.")
    if "code" in proof:
        raise Bad(f"This is no proof but a refusal: {proof['code']}.")
    if draw.get("root") == "":
        raise Bad("The cohort is not closed yet: there is no root to prove anything with.")
    for name in ("exhibition_code", "run", "m", "root"):
        if proof.get(name) != draw.get(name):
            raise Bad(f"The proof belongs to another draw: its {name} is {proof.get(name)!r}, not {draw.get(name)!r}.")
    number, device = number_of(proof, "number", 1, U32_MAX), number_of(proof, "device", 0, U32_MAX)
    if number > m:
        raise Bad(f"Number {number} is not among the {m} people of this draw.")
    if proof.get("index") != number - 1:
        raise Bad(f"index must be {number - 1} for number {number}.")
    leaf = leaf_of(code, number, device, hex_of(proof, "salt", 16))
    if leaf != hex_of(proof, "leaf", 32):
        raise Bad("The leaf does NOT follow from code, number, device and salt.")
    steps = proof.get("steps")
    if not isinstance(steps, list):
        raise Bad("steps are missing.")
    steps = [hex_of({"a step": step}, "a step", 32) for step in steps]
    if root_above(leaf, number - 1, m, steps) != hex_of(draw, "root", 32):
        raise Bad("The steps do NOT lead from the leaf to the published root.")


def proved(proof):
    whose = "a number without an owner" if proof["device"] == NOBODY else f"that of device {proof['device']}"
    return f"  - number {proof['number']} is one of the {proof['m']} below root, as {whose}."


def unproved(proof):
    return f"  - that this number is yours: the receipt of your join must name leaf {proof['leaf'][:16]}...;"


def report_early(proof, noted):
    """What a proof was worth before the draw, for people."""
    return "\n".join([
        f"GOOD: the closed cohort of exhibition {proof['exhibition_code']!r}, run {proof['run']}, {proof['m']} people.",
        "Verified:",
        proved(proof),
        *([f"  - the same as you noted beforehand: {', '.join(noted)}."] if noted else []),
        "Not verified, since these values cannot show it:",
        unproved(proof),
        "  - the draw, which is still to come: note root and m, and check it when the seed is published.",
    ])


def report(draw, noted, proof=None):
    """What the checks were worth, for people."""
    code, m, beacon = draw["exhibition_code"], draw["m"], draw.get("beacon", "unknown")
    lines = [
        f"GOOD: the draw of exhibition {code!r}, run {draw.get('run', '?')}, {m} people.",
        "Verified:",
        "  - server_seed is the one whose SHA-256 was published as seed_hash;",
        "  - the seed follows from code, beacon_value, server_seed, root and m;",
        "  - a rank follows from the seed and m alone; those printed here are computed so.",
    ]
    if proof:
        lines.append(proved(proof))
    if noted:
        lines.append(f"  - the same as you noted beforehand: {', '.join(noted)}.")
    lines.append("Not verified, since these values cannot show it:")
    unseen = [name for name in ("seed_hash", "root", "m") if name not in noted]
    if unseen:
        lines.append(f"  - that {', '.join(unseen)} stood fixed before the beacon's value was known:")
        lines.append("    compare with what you or others saw before the draw (see --help);")
    if proof:
        lines.append(unproved(proof))
    if draw.get("weak") or not draw["beacon_value"]:
        lines.append("  - public randomness: there was NONE (the beacon did not come), so whoever knew the server's")
        lines.append("    seed could have known the order. This is the weaker guarantee;")
    elif beacon == "drand":
        lines.append(f"  - that beacon_value is what drand published as round {draw.get('round')}, and its signature:")
        lines.append("    look the round up at a drand server of your choice;")
    elif beacon == "manual":
        lines.append("  - that beacon_value is what the named public source gave: look it up there;")
    else:
        lines.append(f"  - where beacon_value comes from: source {beacon!r} proves nothing to anybody outside;")
    lines.append("  - that the site used these ranks: compare yours with the one it showed you;")
    lines.append("  - that the cohort behind root consists of people who really joined, each once.")
    return "\n".join(lines)


def merkle_root(leaves):
    """Only the vectors list leaves; of a real draw the root alone is published."""
    while len(leaves) > 1:
        pairs = [leaves[at:at + 2] for at in range(0, len(leaves), 2)]
        leaves = [sha256(b"node", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return leaves[0] if leaves else sha256(b"empty")


def check_vectors(vectors):
    code, leaves = vectors["exhibition_code"], []
    for each in vectors["leaves"]:
        leaves.append(leaf_of(code, each["number"], each["device"], hex_of(each, "salt", 16)))
        if leaves[-1] != hex_of(each, "leaf", 32):
            raise Bad(f"Leaf {each['number']} differs.")
    shared = {name: vectors[name] for name in ("algorithm", "exhibition_code", "server_seed", "seed_hash")}
    for draw in vectors["draws"]:
        seed, m = check({**shared, **draw})
        root = hex_of(draw, "root", 32)
        if merkle_root(leaves[:m]) != root:
            raise Bad(f"The root of {m} leaves differs.")
        for name, index in (("first_proof", 0), ("last_proof", m - 1)):
            if m and root_above(leaves[index], index, m, [bytes.fromhex(step) for step in draw[name]]) != root:
                raise Bad(f"The {name} of {m} leads elsewhere.")
        table = ranks(seed, m)
        if sha256(*map(u32, table)) != hex_of(draw, "ranks_sha256", 32) or table[:10] != draw["first_ranks"]:
            raise Bad(f"The ranks of {m} differ.")
        if any(rank_of(seed, m, n) != rank for n, rank in enumerate(table + [m + 1], 1)):
            raise Bad(f"One by one the ranks of {m} differ.")
    check_proof(vectors["proof"], {**shared, **draw, "run": vectors["proof"]["run"]})
    return f"GOOD: {len(vectors['draws'])} draws and {len(leaves)} leaves of the vectors agree."


def load(source):
    try:
        if source.startswith(("http://", "https://")):
            request = urllib.request.Request(source, headers={"Accept": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read(1_000_000))
        with open(source, "rb") as file:
            return json.load(file)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Bad(f"{source} cannot be read: {error}") from None


def main():
    ask = argparse.ArgumentParser(
        description="Checks a waiting room's draw and prints the ranks: 'number<TAB>rank' on standard output, "
                    "the verdict on standard error.",
        epilog="Exit code: 0 good, 1 bad or unreadable, 2 wrong arguments. Before the draw, note seed_hash, and "
               "after the freeze root and m; give them here as --seed-hash, --root and --m to see that they were kept.")
    ask.add_argument("draw", nargs="?", help="file, or address: https://<site>/api/exhibitions/<code>/queue/draw")
    one = ask.add_mutually_exclusive_group()
    one.add_argument("-n", "--number", type=int, help="print the rank of this number only")
    one.add_argument("--proof", metavar="FILE", help="check that your number is in the draw, with what "
                     "https://<site>/api/exhibitions/<code>/queue/proof told you, and print its rank only; "
                     "possible as soon as root is published")
    ask.add_argument("-q", "--quiet", action="store_true", help="check only, print no ranks")
    ask.add_argument("--seed-hash", metavar="HEX", help="seed_hash as you noted it before the draw")
    ask.add_argument("--root", metavar="HEX", help="root as you noted it before the draw")
    ask.add_argument("--m", type=int, help="m as you noted it before the draw")
    ask.add_argument("--vectors", metavar="FILE", help="check this program against test vectors instead")
    given = ask.parse_args()
    if (given.draw is None) == (given.vectors is None):
        ask.error("give either a draw or --vectors")
    if given.proof is not None and given.draw is None:
        ask.error("--proof needs a draw")
    if given.number is not None and not 1 <= given.number <= U32_MAX:
        ask.error("numbers begin at 1")

    if given.vectors:
        print(check_vectors(load(given.vectors)), file=sys.stderr)
        return
    draw, number, proof = load(given.draw), given.number, None
    if given.proof is not None:
        proof = load(given.proof)
        check_proof(proof, draw)
        number = None if given.quiet else proof["number"]
    early = proof is not None and draw.get("seed") == ""
    seed, m = (None, None) if early else check(draw)
    noted = {"seed_hash": given.seed_hash, "root": given.root, "m": given.m}
    noted = {name: value for name, value in noted.items() if value is not None}
    for name, value in noted.items():
        if str(value).strip().lower() != str(draw.get(name)).lower():
            raise Bad(f"{name} is NOT what you noted: {draw.get(name)} was published.")
    if early:
        print(report_early(proof, noted), file=sys.stderr)
        return
    if number is not None:
        print(f"{number}\t{rank_of(seed, m, number)}")
    elif not given.quiet:
        sys.stdout.writelines(f"{number}\t{rank}\n" for number, rank in enumerate(ranks(seed, m), 1))
    sys.stdout.flush()
    print(report(draw, noted, proof), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except Bad as bad:
        sys.exit(f"BAD: {bad}")
    except BrokenPipeError:
        # The reader has seen enough; nothing was judged.
        sys.stderr.close()
        sys.exit(1)
