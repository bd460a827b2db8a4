// Judges cases: JSON lines in, for each a line `reason counts past` out, the past being that after the move.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { judge, moved } = createRequire(import.meta.url)("../../web/assets/gate_rules.js");
const out = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const presented = JSON.parse(line), { reason, counts } = judge(presented);
  const past = moved(presented.past, { direction: presented.direction, counts, now: presented.now });
  out.push(`${reason} ${counts} ${JSON.stringify(past)}\n`);
}
process.stdout.write(out.join(""));
