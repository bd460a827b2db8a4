//! The draw comes out the same in Rust, in Python and in JavaScript, and values that were tampered with are refused.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use admit::platform::http::assets;
use admit::platform::secrets::hex;
use admit::waiting_room::draw::{
    ALGORITHM, Hash, NOBODY, RankTable, account_digest, draw_seed, leaf, merkle_root, proof, seed_hash, verify_proof,
};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::tempdir::TempDir;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/draw.json");
const VERIFY_PY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/assets/verify_draw.py");
const DRAW_JS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/assets/draw.js");

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn hash(value: &Value) -> Hash {
    unhex(value).try_into().unwrap()
}

fn vectors() -> Value {
    serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap()
}

fn all_ranks(table: &RankTable) -> Vec<u32> {
    (1..=table.m()).map(|number| table.rank_of(number)).collect()
}

/// As the vectors have it.
fn ranks_sha256(ranks: &[u32]) -> String {
    let bytes: Vec<u8> = ranks.iter().flat_map(|rank| rank.to_be_bytes()).collect();
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref())
}

/// What `GET …/queue/draw` says of a cohort of this size.
fn published(m: u32) -> Value {
    let (server_seed, beacon_value, root) = ([3; 32], [4; 32], [5; 32]);
    let seed = draw_seed("xyz", &beacon_value, &server_seed, &root, m);
    json!({
        "exhibition_code": "xyz", "run": 1, "algorithm": ALGORITHM, "beacon": "drand", "round": 77, "weak": false,
        "seed_hash": hex(&seed_hash(&server_seed)), "m": m, "root": hex(&root), "beacon_value": hex(&beacon_value),
        "server_seed": hex(&server_seed), "seed": hex(&seed),
    })
}

#[test]
fn the_vectors_agree_in_rust() {
    let vectors = vectors();
    assert_eq!(vectors["algorithm"], ALGORITHM);
    let code = vectors["exhibition_code"].as_str().unwrap();
    let server_seed = hash(&vectors["server_seed"]);
    assert_eq!(seed_hash(&server_seed), hash(&vectors["seed_hash"]));
    let mut leaves = Vec::new();
    for (each, number) in vectors["leaves"].as_array().unwrap().iter().zip(1..) {
        assert_eq!(each["number"], number);
        let device = each["device"].as_u64().unwrap() as u32;
        let own = leaf(code, number, &account_digest(device, &unhex(&each["salt"]).try_into().unwrap()));
        assert_eq!(own, hash(&each["leaf"]), "leaf {number}");
        leaves.push(own);
    }
    assert!(vectors["leaves"].as_array().unwrap().iter().any(|each| each["device"] == NOBODY));
    let mut sizes = Vec::new();
    for draw in vectors["draws"].as_array().unwrap() {
        let m = draw["m"].as_u64().unwrap() as u32;
        let leaves = &leaves[..m as usize];
        let root = merkle_root(leaves);
        assert_eq!(root, hash(&draw["root"]), "root of {m}");
        for (name, index) in [("first_proof", 0), ("last_proof", leaves.len().saturating_sub(1))] {
            let steps: Vec<Hash> = draw[name].as_array().unwrap().iter().map(hash).collect();
            assert_eq!(proof(leaves, index), steps, "{name} of {m}");
            assert!(m == 0 || verify_proof(&leaves[index], index, leaves.len(), &steps, &root));
        }
        let seed = draw_seed(code, &unhex(&draw["beacon_value"]), &server_seed, &root, m);
        assert_eq!(seed, hash(&draw["seed"]), "seed of {m}");
        let ranks = all_ranks(&RankTable::draw(&seed, m));
        assert_eq!(json!(ranks[..ranks.len().min(10)]), draw["first_ranks"]);
        assert_eq!(ranks_sha256(&ranks), draw["ranks_sha256"], "ranks of {m}");
        sizes.push(m);
    }
    assert_eq!(sizes, [0, 1, 2, 7, 7, 100]);
    let said = &vectors["proof"];
    assert_eq!(said["root"], vectors["draws"][5]["root"]);
    let (number, each) = (said["number"].as_u64().unwrap() as usize, |name: &str| &vectors["leaves"][97][name]);
    for (of_proof, of_leaf) in [("number", "number"), ("device", "device"), ("salt", "salt"), ("leaf", "leaf")] {
        assert_eq!(&said[of_proof], each(of_leaf), "{of_proof}");
    }
    assert_eq!(said["steps"], json!(proof(&leaves, number - 1).iter().map(|step| hex(step)).collect::<Vec<_>>()));
}

/// A draw of the vectors as `GET …/queue/draw` would say it, and the proof of a number in it.
fn proved() -> (Value, Value) {
    let vectors = vectors();
    let mut draw = vectors["draws"][5].clone();
    for name in ["algorithm", "exhibition_code", "server_seed", "seed_hash"] {
        draw[name] = vectors[name].clone();
    }
    draw["run"] = json!(1);
    (draw, vectors["proof"].clone())
}

/// The proof with one value changed, and a word of why it is refused.
fn tampered_proofs() -> Vec<(Value, &'static str)> {
    let changed = |name: &str, value: Value, why| {
        let mut proof = proved().1;
        proof[name] = value;
        (proof, why)
    };
    let steps = proved().1["steps"].as_array().unwrap().clone();
    let mut other = steps.clone();
    other[1] = json!("07".repeat(32));
    vec![
        changed("number", json!(97), "index must be 96"),
        changed("number", json!(101), "not among the 100"),
        changed("number", json!(0), "number is missing"),
        changed("number", json!("98"), "number is missing"),
        changed("index", json!(96), "index must be 97"),
        changed("device", json!(627), "leaf does NOT follow"),
        changed("device", json!(-1), "device is missing"),
        changed("salt", json!("07".repeat(16)), "leaf does NOT follow"),
        changed("salt", json!("07"), "16 bytes"),
        changed("leaf", json!("07".repeat(32)), "leaf does NOT follow"),
        changed("steps", json!(other), "do NOT lead"),
        changed("steps", json!(steps.iter().rev().collect::<Vec<_>>()), "do NOT lead"),
        changed("steps", json!(steps[1..]), "too few"),
        changed("steps", json!([steps.clone(), steps[..1].to_vec()].concat()), "too many"),
        changed("steps", Value::Null, "steps are missing"),
        changed("steps", json!([1, 2]), "not hex"),
    ]
}

fn python(arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.arg(VERIFY_PY).args(arguments).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.output().expect("python3 is needed, as for other checks")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_vectors_agree_in_python() {
    let output = python(&["--vectors", VECTORS]);
    assert!(output.status.success() && said(&output).contains("GOOD: 6 draws and 100 leaves"), "{}", said(&output));

    let dir = TempDir::new();
    let file = dir.0.join("vectors.json");
    for (at, name, wrong) in [
        (3, "ranks_sha256", json!("00".repeat(32))),
        (5, "root", json!("11".repeat(32))),
        (2, "m", json!(1)),
        (4, "last_proof", json!(["11".repeat(32)])),
    ] {
        let mut vectors = vectors();
        vectors["draws"][at][name] = wrong;
        std::fs::write(&file, vectors.to_string()).unwrap();
        let output = python(&["--vectors", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).starts_with("BAD: "), "{}", said(&output));
    }
}

#[test]
fn python_finds_the_ranks_of_ten_thousand() {
    let dir = TempDir::new();
    let file = dir.0.join("draw.json");
    let path = file.to_str().unwrap();
    let draw = published(10_000);
    std::fs::write(&file, draw.to_string()).unwrap();
    let table = RankTable::draw(&hash(&draw["seed"]), 10_000);

    let output = python(&[path]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines: Vec<_> = all_ranks(&table).iter().zip(1..).map(|(rank, number)| format!("{number}\t{rank}\n")).collect();
    assert!(output.stdout == lines.concat().as_bytes(), "ranks differ");
    for words in ["GOOD", "10000 people", "Not verified", "published as round 77, and its signature"] {
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    for number in [1, 9_999, 10_000, 10_001] {
        let output = python(&[path, "--number", &number.to_string()]);
        assert_eq!(output.stdout, format!("{number}\t{}\n", table.rank_of(number)).as_bytes());
    }
    let root = draw["root"].as_str().unwrap();
    let output = python(&[path, "--quiet", "--root", root, "--m", "10000"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(said(&output).contains("as you noted beforehand: root, m."), "{}", said(&output));
    for (arguments, code) in [
        (vec![path, "--seed-hash", root], 1),
        (vec![path, "--m", "9999"], 1),
        (vec![path, "--number", "0"], 2),
        (vec!["/nowhere/draw.json"], 1),
        (vec![], 2),
    ] {
        let output = python(&arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{arguments:?}");
        assert!(!said(&output).contains("Traceback"), "{}", said(&output));
    }
    assert!(python(&["--help"]).status.success());
}

/// A published draw with one value changed, and a word of why it is refused.
fn tampered() -> Vec<(Value, &'static str)> {
    let changed = |name: &str, value: Value, why| {
        let mut draw = published(20);
        draw[name] = value;
        (draw, why)
    };
    vec![
        changed("server_seed", json!("07".repeat(32)), "changed after it was announced"),
        changed("seed_hash", json!("07".repeat(32)), "changed after it was announced"),
        changed("beacon_value", json!("07".repeat(32)), "does NOT follow"),
        changed("beacon_value", json!(""), "does NOT follow"),
        changed("root", json!("07".repeat(32)), "does NOT follow"),
        changed("seed", json!("07".repeat(32)), "does NOT follow"),
        changed("m", json!(21), "does NOT follow"),
        changed("exhibition_code", json!("xyy"), "does NOT follow"),
        changed("m", json!(-1), "not a number"),
        changed("m", json!("20"), "not a number"),
        changed("root", json!("0707"), "32 bytes"),
        changed("root", json!("zz".repeat(32)), "not hex"),
        changed("server_seed", Value::Null, "not hex"),
        changed("exhibition_code", json!("전시"), "not ASCII"),
        changed("seed", json!(""), "Nothing is drawn yet"),
    ]
}

#[test]
fn python_refuses_what_was_tampered_with() {
    let dir = TempDir::new();
    let file = dir.0.join("draw.json");
    let mut all = tampered();
    let mut other = published(20);
    other["algorithm"] = json!("wr-draw-v2");
    all.extend([(other, "knows wr-draw-v1 only"), (json!([1]), "not the description")]);
    for (draw, why) in all {
        std::fs::write(&file, draw.to_string()).unwrap();
        let output = python(&[file.to_str().unwrap()]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{draw}");
        assert!(said(&output).starts_with("BAD: ") && said(&output).contains(why), "{why}: {}", said(&output));
    }
}

#[test]
fn python_checks_that_a_number_is_in_the_draw() {
    let dir = TempDir::new();
    let [draw_file, proof_file] = ["draw.json", "proof.json"].map(|name| dir.0.join(name));
    let files = [draw_file.to_str().unwrap(), "--proof", proof_file.to_str().unwrap()];
    let check = |draw: &Value, proof: &Value, more: &[&str]| {
        std::fs::write(&draw_file, draw.to_string()).unwrap();
        std::fs::write(&proof_file, proof.to_string()).unwrap();
        python(&[&files, more].concat())
    };
    let (draw, proof) = proved();
    let rank = RankTable::draw(&hash(&draw["seed"]), 100).rank_of(98);
    let output = check(&draw, &proof, &[]);
    assert_eq!((output.status.code(), output.stdout), (Some(0), format!("98\t{rank}\n").into_bytes()));
    let output = check(&draw, &proof, &["--quiet"]);
    assert!(output.stdout.is_empty() && said(&output).contains("number 98 is one of the 100 below root"));
    let mut early = draw.clone();
    for name in ["seed", "server_seed", "beacon_value"] {
        early[name] = json!("");
    }
    let output = check(&early, &proof, &["--root", proof["root"].as_str().unwrap()]);
    assert!(output.status.success() && said(&output).contains("noted beforehand: root."), "{}", said(&output));

    let refused = |draw: &Value, proof: &Value, why: &str| {
        let output = check(draw, proof, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{proof}: {}", said(&output));
        assert!(said(&output).starts_with("BAD: ") && said(&output).contains(why), "{why}: {}", said(&output));
    };
    for (tampered, why) in tampered_proofs() {
        refused(&draw, &tampered, why);
        refused(&early, &tampered, why);
    }
    for (name, value) in [("exhibition_code", json!("xyy")), ("run", json!(2)), ("m", json!(99)), ("root", json!(""))] {
        let mut other = proof.clone();
        other[name] = value;
        refused(&draw, &other, "belongs to another draw");
    }
    refused(&draw, &json!([]), "not the proof of a number");
    refused(&draw, &json!({ "code": "queue.not_in_draw" }), "a refusal: queue.not_in_draw");
    early["root"] = json!("");
    refused(&early, &proof, "not closed yet");
    assert_eq!(python(&["--proof", "x", "--vectors", VECTORS]).status.code(), Some(2));
    assert_eq!(python(&[files[0], "--proof", "/nowhere/proof.json"]).status.code(), Some(1));
}

#[test]
fn python_asks_an_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut draw = published(3);
    draw["beacon_value"] = json!("");
    draw["weak"] = json!(true);
    draw["seed"] = json!(hex(&draw_seed("xyz", b"", &hash(&draw["server_seed"]), &hash(&draw["root"]), 3)));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let body = draw.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    });
    let output = python(&[&format!("http://{address}/api/exhibitions/xyz/queue/draw")]);
    assert!(output.status.success() && said(&output).contains("weaker guarantee"), "{}", said(&output));
    server.join().unwrap();
}

/// Runs a module with `load()`, which gives a fresh draw.js, and `input`. Nothing where there is no node.
fn node(input: &Value, script: &str) -> Option<Value> {
    let start = |arguments: &[&str]| {
        let mut command = Command::new("node");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()
    };
    let mut child = match start(&["--input-type=module", "-"]) {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: JavaScript is not tested without node: {error}");
            return None;
        }
    };
    // By its text: as a file it would need a package.json beside it to count as a module.
    let head = format!(
        "import {{ readFileSync }} from 'node:fs';
         const text = readFileSync({DRAW_JS:?}, 'utf8');
         let loads = 0;
         const load = () => import('data:text/javascript;base64,' + btoa(text + '//' + ++loads));
         const input = {input};"
    );
    child.stdin.take().unwrap().write_all((head + script).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "draw.js failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn javascript_agrees() {
    let good = published(10_000);
    let tampered: Vec<_> = tampered().into_iter().map(|(draw, _)| draw).collect();
    let script = "
        const { verify, verifyProof, ranks, rankOf, sha256, hex } = await load();
        const { algorithm, exhibition_code, server_seed, seed_hash } = input.vectors;
        const seen = [];
        const digest = (table) => {
            const bytes = new DataView(new ArrayBuffer(4 * table.length));
            table.forEach((rank, i) => bytes.setUint32(i * 4, rank));
            return hex(sha256(new Uint8Array(bytes.buffer)));
        };
        for (const draw of input.vectors.draws) {
            const table = await ranks(draw.seed, draw.m);
            const whole = { algorithm, exhibition_code, server_seed, seed_hash, ...draw };
            seen.push([verify(whole), Array.from(table.slice(0, 10)), digest(table)]);
        }
        const { draw, proof } = input, { leaves, draws } = input.vectors, ends = [];
        for (const { m, root, first_proof, last_proof } of draws.slice(1)) {
            const good = (index, steps) => verifyProof({ exhibition_code, m, root }, { ...leaves[index], index, steps });
            ends.push(good(0, first_proof), good(m - 1, last_proof));
        }
        const proved = [verifyProof(draw, proof), ends.every(Boolean), verifyProof(draw, {}),
            verifyProof({ ...draw, m: 97 }, proof), verifyProof({ ...draw, root: '07'.repeat(32) }, proof),
            input.tampered_proofs.some((one) => verifyProof(draw, one))];
        const large = digest(await ranks(input.good.seed, 200000));
        const shares = [], table = await ranks(input.good.seed, input.good.m, (share) => shares.push(share));
        const refused = await ranks(input.good.seed, 4e9).catch((error) => error.name);
        console.log(JSON.stringify({ seen, proved, large, refused, table: Array.from(table), shares,
            tampered: input.tampered.map(verify), edge: [rankOf(table, 10000), rankOf(table, 10001)] }));";
    let (draw, proof) = proved();
    let tampered_proofs: Vec<_> = tampered_proofs().into_iter().map(|(proof, _)| proof).collect();
    let input = json!({ "vectors": vectors(), "good": good, "tampered": tampered, "draw": draw, "proof": proof,
        "tampered_proofs": tampered_proofs });
    let Some(answer) = node(&input, script) else { return };
    let fine = json!({ "seed_hash_ok": true, "seed_ok": true });
    for (draw, seen) in vectors()["draws"].as_array().unwrap().iter().zip(answer["seen"].as_array().unwrap()) {
        assert_eq!(seen, &json!([fine, draw["first_ranks"], draw["ranks_sha256"]]));
    }
    for (draw, seen) in tampered.iter().zip(answer["tampered"].as_array().unwrap()) {
        assert_ne!(seen, &fine, "{draw}");
    }
    assert_eq!(answer["proved"], json!([true, true, false, false, false, false]));
    let table = RankTable::draw(&hash(&good["seed"]), 10_000);
    assert!(answer["table"] == json!(all_ranks(&table)), "ranks differ");
    // Enough that some keys share their first 32 bits, by which JavaScript sorts first.
    let large = all_ranks(&RankTable::draw(&hash(&good["seed"]), 200_000));
    assert_eq!(answer["large"], json!(ranks_sha256(&large)));
    assert_eq!(answer["edge"], json!([table.rank_of(10_000), 10_001]));
    assert_eq!((&answer["refused"], &answer["shares"]), (&json!("RangeError"), &json!([1])));
}

#[test]
fn the_page_checks_itself() {
    let script = "
        const answers = [];
        for (const [draw, number] of input) {
            let press;
            const elements = {
                'draw-json': { textContent: JSON.stringify(draw) }, number: { value: number }, result: {},
                verify: { addEventListener: (kind, pressed) => { press = pressed; },
                    dataset: { good: 'good.', bad: 'bad.', busy: 'busy', rank: 'rank {rank}' } },
            };
            globalThis.document = { getElementById: (id) => elements[id] };
            await load();
            const disabled = elements.verify.disabled;
            await press({ preventDefault() {} });
            answers.push([disabled, elements.result.textContent]);
        }
        console.log(JSON.stringify(answers));";
    let draw = published(2_000);
    let table = RankTable::draw(&hash(&draw["seed"]), 2_000);
    let number = (1..=2_000).find(|number| table.rank_of(*number) == 1_234).unwrap();
    let mut undrawn = draw.clone();
    undrawn["seed"] = json!("");
    let mut other = draw.clone();
    other["root"] = json!("07".repeat(32));
    let input =
        json!([[draw, number.to_string()], [draw, ""], [draw, "-1"], [draw, "2001"], [other, "5"], [undrawn, "5"]]);
    let Some(answers) = node(&input, script) else { return };
    assert_eq!(
        answers,
        json!([
            [false, "good. rank 1,234"],
            [false, "good."],
            [false, "good."],
            [false, "good. rank 2,001"],
            [false, "bad."],
            [true, "bad."]
        ])
    );
}

#[test]
fn the_page_says_whether_the_visitor_is_in_the_draw() {
    let script = "
        const answers = [], dataset = { code: 'xyz', m: '100', root: input.proof.root, good: '{number}: good',
            nobody: '{number}: nobody', bad: '{number}: bad', away: 'away' };
        for (const [status, body] of input.replies) {
            const mine = { hidden: true, dataset, firstElementChild: {} }, asked = [];
            globalThis.document = { getElementById: (id) => (id === 'mine' ? mine : undefined) };
            globalThis.fetch = async (path, { cache }) => {
                asked.push(path, cache);
                if (!status) throw new TypeError('away');
                return { status, ok: status === 200, json: async () => JSON.parse(body) };
            };
            await load();
            await new Promise((go) => setTimeout(go));
            answers.push([mine.hidden, mine.firstElementChild.textContent ?? null, ...asked]);
        }
        console.log(JSON.stringify(answers));";
    let (_, proof) = proved();
    let mut other = proof.clone();
    other["device"] = json!(7);
    let replies = [
        (200, proof.to_string()),
        (200, other.to_string()),
        (200, "<html>".to_owned()),
        (401, "{}".to_owned()),
        (404, "{}".to_owned()),
        (409, "{}".to_owned()),
        (503, "{}".to_owned()),
        (0, String::new()),
    ];
    let Some(answers) = node(&json!({ "proof": proof, "replies": replies }), script) else { return };
    let shown = |text: &str| json!([false, text, "/api/exhibitions/xyz/queue/proof", "no-store"]);
    let quiet = json!([true, null, "/api/exhibitions/xyz/queue/proof", "no-store"]);
    let (good, bad, away) = (shown("98: good"), shown("98: bad"), shown("away"));
    assert_eq!(answers, json!([good, bad, away, quiet, quiet, quiet, away, away]));
}

#[tokio::test]
async fn both_programs_are_there_for_everybody() {
    let app = TestApp::start().await;
    for (name, kind) in
        [("verify_draw.py", "text/x-python; charset=utf-8"), ("draw.js", "text/javascript; charset=utf-8")]
    {
        let reply = app.http.get(app.url(assets::url(name))).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), &reply.headers()["content-type"]), (200, &kind.parse().unwrap()));
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        let body = reply.bytes().await.unwrap();
        assert!(name != "draw.js" || body.len() < 9 * 1024, "draw.js weighs {}", body.len());
    }
    app.finish().await;
}
